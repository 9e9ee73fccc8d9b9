"""Leak checks for tests and CI: nothing else runs, so survivors after a full collection judge."""
