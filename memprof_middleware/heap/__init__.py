"""Readings of the heap: containers, retaining paths, populations. None runs code of the program."""
