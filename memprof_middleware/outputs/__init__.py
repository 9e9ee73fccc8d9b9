"""Outputs tell: log records, metrics, HTTP answers, reports."""
