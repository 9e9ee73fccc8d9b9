"""Flame graphs of memory that is still held, by the code that allocated it."""
