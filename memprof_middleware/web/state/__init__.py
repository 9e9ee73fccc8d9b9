"""The state that the page shows, as one JSON value."""
