"""Watches an application that its server's own command starts, without a line in it: ``memprof run COMMAND``."""
