"""Six applications from PyPI under ``memprof run``, beside themselves without it: ``make apps``."""
