"""Words of all that is shown to people."""
