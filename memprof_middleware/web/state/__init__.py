"""What the page shows, as one JSON value."""
