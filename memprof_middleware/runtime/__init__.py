"""The parts of the profiler that belong to one process."""
