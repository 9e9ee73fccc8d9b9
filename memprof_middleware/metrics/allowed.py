"""What may take the place of a default in a file that is printed: it must not be able to become anything else there."""

from __future__ import annotations

import re

from memprof_middleware.errors import ConfigError
from memprof_middleware.model.value import valueclass

_HOST = r"[\w.-]+(:\d+)?"
# Without what YAML would read as a number or as yes or no.
_NAME = r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[a-z]([-a-z0-9]{0,61}[a-z0-9])?"


@valueclass(frozen=True, slots=True)
class Kind:
    """One kind of value.

    Attributes:
        default: pattern of the defaults that are of this kind.
        allowed: pattern of what may be given instead.
        words: the same for people.
    """

    default: str
    allowed: str
    words: str


# The first whose default fits.
_KINDS = (
    Kind(r"\d+(\.\d+)?", r"\d+(\.\d+)?", "a number"),
    Kind(r"\d+(Mi|Gi)", r"\d+(Mi|Gi)", "a size such as 512Mi or 2Gi"),
    Kind(r"\d+(ms|s|m|h|d)", r"\d+(ms|s|m|h|d)", "a duration such as 30s or 5m"),
    Kind(r"https?://.+", r"https?://[^\s\"'#{}\[\]]+", "an http or https URL"),
    Kind(
        _HOST.replace("?", ""),
        rf"{_HOST}(,{_HOST})*",
        "HOST:PORT without http:// and path, e.g. localhost:8000; several separated by commas",
    ),
    Kind(r"/.*", r"/[\w./~-]*", "a path such as /metrics"),
    Kind(r".*/.*", r"[\w./-]+", "the path of a file"),
    Kind("http", rf"\d{{1,5}}|{_NAME}", "the name or the number of a port"),
    Kind(r".*", _NAME, "a name of lower-case letters, digits and hyphens"),
)


def check(name: str, value: str, default: str) -> None:
    """Accept a value of the default's kind.

    Raises:
        ConfigError: it is of another kind; the message has the name, the value and what is allowed.
    """
    kind = next(kind for kind in _KINDS if re.fullmatch(kind.default, default))
    if not re.fullmatch(kind.allowed, value):
        raise ConfigError(f"--{name} {value!r}: must be {kind.words}")


def check_url(name: str, value: str) -> None:
    """Accept a URL, in which ``{instance}`` and ``{job}`` stand for the labels of an alert.

    Raises:
        ConfigError: it is none.
    """
    if not re.fullmatch(r"https?://[^\s\"'#{}\[\]`\\$<>]+", re.sub(r"\{(instance|job)\}", "x", value)):
        raise ConfigError(f"--{name} {value!r}: must be an http or https URL; {{instance}} and {{job}} may stand in it")
