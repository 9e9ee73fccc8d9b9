"""What the program's objects hold. Runs no code of the program."""
