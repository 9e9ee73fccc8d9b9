"""The state as HTML."""
