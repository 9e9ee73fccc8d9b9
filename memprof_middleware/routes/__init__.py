"""Which route keeps memory."""
