"""Analysis judges: pure functions, values in, values out."""
