"""The page in the application: what is known of the server's memory, in words and pictures."""
