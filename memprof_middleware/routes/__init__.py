"""Attribution of memory growth to routes."""
