"""How near the limit is, and when it is reached."""
