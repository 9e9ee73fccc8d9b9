"""Settings: one frozen value, validated once. The only place that holds defaults."""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import os
import re
import types
import typing
from collections.abc import Callable, Mapping

from memprof_middleware.errors import ConfigError

ENV_PREFIX = "MEMPROF_"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
SINK_NAMES = ("log", "otel", "otlp", "dogstatsd", "statsd", "sentry")


def _setting(
    default: object,
    doc: str,
    check: Callable[[typing.Any], bool] | None = None,
    allowed: str = "",
    *,
    secret: bool = False,
) -> typing.Any:
    """A field with the sentence for the settings table and the rule its value must keep; a secret is never shown."""
    metadata = {"doc": doc, "check": check, "allowed": allowed, "secret": secret}
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_level(name: str) -> bool:
    return name.upper() in logging.getLevelNamesMapping()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of the profiler, each with its default.

    Raises:
        ConfigError: a value has the wrong type, is out of range, or two values contradict each other. The message
            names the setting, the value given and what is allowed.
    """

    enabled: bool = _setting(
        True,
        "`false` turns the profiler off without touching code: no thread, no measuring, `/metrics` stays.",
    )
    background: bool = _setting(
        True, "`false`: no thread; the caller steps the profiler with `take_snapshot()` and `detect_leaks()`."
    )
    interval: float = _setting(60.0, "Seconds between two snapshots.", lambda v: 1 <= v <= 86400, "1 to 86400 seconds")
    history_size: int = _setting(1000, "How many snapshots are kept.", lambda v: 10 <= v <= 100_000, "10 to 100000")
    top_types: int = _setting(
        20,
        "How many types a snapshot and `/metrics` name, the most numerous first.",
        lambda v: 1 <= v <= 200,
        "1 to 200",
    )
    max_routes: int = _setting(
        100,
        "How many routes are counted by name, the first ones seen; the requests of further ones are one.",
        lambda v: 1 <= v <= 1000,
        "1 to 1000",
    )
    warmup_snapshots: int = _setting(
        3,
        "Snapshots at the start that no leak verdict rests on; the baseline is taken when they are over.",
        lambda v: 0 <= v <= 1000,
        "0 to 1000",
    )
    auto_baseline: bool = _setting(True, "Take the baseline when warm-up is over, unless one was set or loaded.")
    baseline_file: str | None = _setting(None, "A baseline saved with `save_baseline()`, loaded at start.")
    heap_size_mb: float | None = _setting(
        None,
        "The memory this process may use, in MB (2^20 bytes); unset: the cgroup limit, `RLIMIT_AS` or RAM.",
        lambda v: v > 0,
        "more than 0",
    )
    heap_warning_percent: float = _setting(
        80.0,
        "Heap in use at which a warning is raised, in percent of the heap size.",
        lambda v: 0 < v <= 100,
        "more than 0, up to 100",
    )
    heap_critical_percent: float = _setting(
        90.0,
        "Heap in use at which a critical alert is raised; above the warning.",
        lambda v: 0 < v <= 100,
        "more than 0, up to 100",
    )
    heap_growth_percent_per_hour: float = _setting(
        10.0, "Heap growth at which a warning is raised.", lambda v: v > 0, "more than 0"
    )
    gc_spike_factor: float = _setting(
        2.0,
        "How many times its previous rate garbage collection must run to be a spike.",
        lambda v: v > 1,
        "more than 1",
    )
    thresholds: str = _setting(
        "fixed",
        "`auto`: thresholds that are left at their default are learned from the application's first days.",
        lambda v: v in {"fixed", "auto"},
        "'fixed' or 'auto'",
    )
    release: str | None = _setting(
        None,
        "The version of the application: each is learned anew, and compared with the one before.",
        lambda v: len(v) <= 64 and v.isprintable(),
        "up to 64 printable characters, such as '2.4.1'",
    )
    state_dir: str | None = _setting(
        None,
        "A folder of this application alone, where what was learned is kept; unset: beside `baseline_file`, else "
        "nothing is kept.",
    )
    leak_growth_percent: float = _setting(
        50.0,
        "A type leaks only when it grew by more than this from first to last.",
        lambda v: 0 < v <= 100,
        "more than 0, up to 100 (above 100 %, 150 % and 200 % the severity rises)",
    )
    leak_min_objects: int = _setting(
        100, "A type leaks only when it grew by more than this many objects.", lambda v: v >= 1, "1 or more"
    )
    leak_min_snapshots: int = _setting(
        6, "Snapshots after warm-up before a leak is called.", lambda v: v >= 4, "4 or more"
    )
    leak_confirm_requests: int = _setting(
        10_000,
        "A suspected leak is confirmed when it has gone on undiminished for so many requests; caches fill for up to "
        "some 9,000.",
        lambda v: v >= 1,
        "1 or more",
    )
    leak_confirm_hours: float = _setting(
        6.0,
        "The same in hours, where there are few requests.",
        lambda v: v > 0,
        "more than 0",
    )
    evidence: bool = _setting(
        True,
        "Write an evidence file when a leak is confirmed or 85 % of the limit is reached; at most two an hour.",
    )
    evidence_dir: str | None = _setting(
        None,
        "Where the private folder for evidence files is made, twenty of which are kept; unset: the folder for "
        "temporary files.",
    )
    route_min_bytes: float = _setting(
        100.0,
        "A route is called leaking only when a request keeps at least this many bytes, or an object.",
        lambda v: v >= 0,
        "0 or more",
    )
    run_dir: str | None = _setting(
        None,
        "Where the private folder is made in which the workers of a server find one another; unset: `/dev/shm`, else "
        "the folder for temporary files.",
    )
    cpu_budget: float = _setting(
        0.5,
        "Processor time that the profiler may use, in percent of one core.",
        lambda v: 0.01 <= v <= 100,
        "0.01 to 100",
    )
    max_stall: float = _setting(
        10.0,
        "Milliseconds per interval that a census may hold other threads up for; one that takes longer is rarer.",
        lambda v: v >= 1,
        "1 or more",
    )
    tracemalloc: bool = _setting(
        False,
        "Trace allocations, 1 frame deep (slows allocation-heavy work 7-10x). A running trace is never stopped.",
    )
    namespace: str = _setting(
        "fogcompute",
        "First part of every metric name.",
        lambda v: re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", v) is not None,
        "letters, digits and _, no digit first",
    )
    metrics_path: str | None = _setting(
        "/metrics",
        "Where the host serves the metrics; empty: not mounted.",
        lambda v: re.fullmatch(r"/[^\s?#]*[^\s?#/]", v) is not None,
        "a path with a leading slash and no trailing one, such as '/metrics'",
    )
    metrics_token: str | None = _setting(
        None,
        "If set, `/metrics` answers only requests with `Authorization: Bearer <token>`.",
        lambda v: len(v) >= 8 and v.isascii() and v.isprintable(),
        "8 or more printable ASCII characters",
        secret=True,
    )
    metrics_allow: tuple[str, ...] = _setting(
        (),
        "If set, `/metrics` answers only these client addresses or networks.",
        lambda v: all(map(_is_network, v)),
        "IP addresses or networks such as '10.0.0.0/8'",
    )
    token: str | None = _setting(
        None,
        "Opens everything that shows more than metrics; unset: closed.",
        lambda v: len(v) >= 8 and v.isascii() and v.isprintable(),
        "8 or more printable ASCII characters",
        secret=True,
    )
    sinks: tuple[str, ...] = _setting(
        (),
        "Other monitoring systems that hear of figures and alerts.",
        lambda v: set(v) <= set(SINK_NAMES) and len(set(v)) == len(v),
        ", ".join(SINK_NAMES) + "; each once",
    )
    remedies: tuple[str, ...] = _setting(
        (),
        "What is tried at high memory, measured and logged: `collect` (a full collection), `callbacks` (what the "
        "application registered with `register_remedy`), `trim` (glibc gives free memory back to the system).",
        lambda v: set(v) <= {"collect", "callbacks", "trim"},
        "any of 'collect', 'callbacks', 'trim'",
    )
    remedies_per_hour: int = _setting(
        6, "Rounds of remedies in an hour, at most, in one worker.", lambda v: 1 <= v <= 60, "1 to 60"
    )
    recycle: float | None = _setting(
        None,
        "Heap in use, in MB, at which a worker finishes its requests and ends, for the server to replace it; unset: "
        "never.",
        lambda v: v > 0,
        "more than 0",
    )
    recycle_supervised: bool = _setting(
        False,
        "`true`: something starts a server of a single process again when it ends (systemd, Docker, Kubernetes), so it "
        "may recycle too.",
    )
    recycle_patience: float = _setting(
        60.0,
        "Seconds that the heap must stay at or above `recycle`, in at least three snapshots.",
        lambda v: 1 <= v <= 86400,
        "1 to 86400 seconds",
    )
    recycle_min_lifetime: float = _setting(
        60.0, "Seconds that a worker lives at least.", lambda v: 1 <= v <= 86400, "1 to 86400 seconds"
    )
    recycle_cooldown: float = _setting(
        30.0,
        "Seconds between two retirements in one server, at least; more than a new worker takes to serve.",
        lambda v: 1 <= v <= 86400,
        "1 to 86400 seconds",
    )
    recycle_per_hour: int = _setting(
        6, "Retirements of one server in an hour, at most.", lambda v: 1 <= v <= 1000, "1 to 1000"
    )
    recycle_drain: float = _setting(
        60.0,
        "Seconds after which a retiring worker ends even if requests (endless streams) are still in flight.",
        lambda v: 1 <= v <= 86400,
        "1 to 86400 seconds",
    )
    page_path: str | None = _setting(
        "/memprof",
        "Where the host serves the page for people, once `token` is set; empty: nowhere.",
        lambda v: re.fullmatch(r"/[^\s?#]*[^\s?#/]", v) is not None,
        "a path with a leading slash and no trailing one, such as '/memprof'",
    )
    log_level: str | None = _setting(
        None,
        "Level of the `memprof` logger; unset: as the host's logging has it.",
        _is_level,
        "a level of the logging module, such as 'INFO'",
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _validated(field, getattr(self, field.name)))
        if self.heap_critical_percent <= self.heap_warning_percent:
            raise ConfigError(
                f"heap_critical_percent={self.heap_critical_percent!r} is not above "
                f"heap_warning_percent={self.heap_warning_percent!r}: raise the one or lower the other"
            )

        if self.recycle is not None and self.heap_size_mb is not None and self.recycle >= self.heap_size_mb:
            raise ConfigError(
                f"recycle={self.recycle!r} is not below heap_size_mb={self.heap_size_mb!r}: a worker would be killed "
                "before it is recycled; lower the one or raise the other"
            )

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object], *, prefix: str = "") -> Config:
        """Read settings from a host's configuration; keys may be in upper or lower case.

        Args:
            mapping: names to values; values may be strings, as in the environment.
            prefix: only keys that start with it are read, and it is cut off; other keys are the host's own.

        Raises:
            ConfigError: as the class; also for an unknown key (the message lists the valid ones).
        """
        return cls(**_known(mapping, prefix))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read every setting from its environment variable, ``MEMPROF_`` and the name in capitals.

        Raises:
            ConfigError: as :meth:`from_mapping`.
        """
        return cls().with_env(environ)

    def with_env(self, environ: Mapping[str, str] | None = None) -> Config:
        """This configuration, with each setting that is still at its default taken from the environment.

        Code wins over the environment, and a token or a switch that operations set needs no code.

        Raises:
            ConfigError: as :meth:`from_mapping`.
        """
        found = _known(os.environ if environ is None else environ, ENV_PREFIX)
        free = {f.name for f in dataclasses.fields(self) if getattr(self, f.name) == f.default}
        return dataclasses.replace(self, **{key: value for key, value in found.items() if key in free})


def _known(mapping: Mapping[str, object], prefix: str) -> dict[str, typing.Any]:
    valid = {f.name for f in dataclasses.fields(Config)}
    found: dict[str, object] = {}
    for key, value in mapping.items():
        if not isinstance(key, str):
            raise ConfigError(f"a setting's name is of type {type(key).__name__}: a text is expected")
        if not key.upper().startswith(prefix.upper()):
            continue
        name = key[len(prefix) :].lower()
        if name not in valid:
            raise ConfigError(
                f"unknown setting {key!r}: valid are " + ", ".join(_spelled(n, key, prefix) for n in sorted(valid))
            )
        found[name] = value
    return found


def _spelled(name: str, like: str, prefix: str) -> str:
    return prefix + (name.upper() if like.isupper() else name)


def _validated(field: dataclasses.Field[typing.Any], value: object) -> object:
    """The value in its declared type, or an error that names key, value and what is allowed."""
    kind = _KINDS[field.name]
    optional = isinstance(kind, types.UnionType)
    if optional:
        if value is None or value == "":
            return None
        kind = next(arg for arg in typing.get_args(kind) if arg is not types.NoneType)
    allowed = field.metadata["allowed"] or _WANTED[kind]
    shown = "***" if field.metadata["secret"] else repr(value)
    try:
        converted = _CONVERT[kind](value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{field.name}={shown} is not {_WANTED[kind]}; allowed: {allowed}") from None
    check = field.metadata["check"]
    if check is not None and not check(converted):
        raise ConfigError(f"{field.name}={shown} is out of range; allowed: {allowed}")
    return converted


def _to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError


def _to_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError
    return number


def _to_int(value: object) -> int:
    number = _to_float(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _to_str(value: object) -> str:
    if isinstance(value, os.PathLike):
        return str(value)
    if not isinstance(value, str):
        raise TypeError
    return value


def _to_strs(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise TypeError
    return tuple(_to_str(part) for part in value)


_KINDS: dict[str, typing.Any] = typing.get_type_hints(Config)
_CONVERT: dict[object, Callable[[object], object]] = {
    bool: _to_bool,
    float: _to_float,
    int: _to_int,
    str: _to_str,
    tuple[str, ...]: _to_strs,
}
_WANTED: dict[object, str] = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "a text",
    tuple[str, ...]: "a list of texts",
}
