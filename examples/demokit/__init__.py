"""What ``demo.py`` is made of: the server, the traffic, the timeline, the verdict and the report."""
