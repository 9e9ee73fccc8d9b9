"""The page in the application, and all HTTP answers of the profiler."""
