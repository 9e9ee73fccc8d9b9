"""Evidence files: written at a confirmed leak or nearly full memory."""
