"""Leak detection: one pure function for each kind of evidence, and the state of each verdict."""
