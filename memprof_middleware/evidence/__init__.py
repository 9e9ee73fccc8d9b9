"""What is written down when memory runs out."""
