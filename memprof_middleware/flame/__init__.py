"""Which code holds the memory that it allocated."""
