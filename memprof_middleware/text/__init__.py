"""Texts for people: figures with units, times, leaks and alerts in sentences."""
