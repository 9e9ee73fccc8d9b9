"""Verdicts on labelled applications: real leaks of real packages, hard ones, and healthy apps that look like leaks."""
