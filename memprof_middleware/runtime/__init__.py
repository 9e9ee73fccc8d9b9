"""What lives and dies with the process."""
