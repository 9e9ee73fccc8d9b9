"""What grows and does not come back."""
