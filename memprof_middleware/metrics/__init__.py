"""The metrics: the only names of them."""
