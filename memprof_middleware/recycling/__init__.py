"""Graceful recycling: a worker that grew too large retires by itself, one at a time, where the server replaces it."""
