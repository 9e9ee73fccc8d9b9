"""Memory limits: thresholds, and the forecast of the time to the limit."""
