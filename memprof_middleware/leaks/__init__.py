"""Whether something leaks: evidence by evidence, each a pure function, and what becomes of a verdict."""
