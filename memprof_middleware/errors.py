"""Errors for users, with one base class, so that one ``except`` catches all of them."""


class MemprofError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(MemprofError, ValueError):
    """A setting is unknown, of the wrong type or out of range."""


class BaselineError(MemprofError):
    """A baseline cannot be set, read or written."""


class StateError(MemprofError):
    """The learned figures of an application cannot be read or written."""


class ExporterError(MemprofError):
    """The standalone exporter cannot serve, for example because its port is taken."""


class EvidenceError(MemprofError):
    """An evidence file cannot be read."""


class RunDirectoryError(MemprofError):
    """There is no folder in which the workers of a server can find one another."""


class RecycleError(MemprofError):
    """This worker cannot retire as its server would have it."""


class FlameError(MemprofError):
    """A window for a flame graph cannot be opened, or came to nothing."""


class TopError(MemprofError):
    """``memprof top`` cannot show a server: no token, no answer, or not one that it understands."""
