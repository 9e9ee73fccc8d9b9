"""Settings: one frozen value, validated once. The only place that holds defaults."""

from __future__ import annotations

import dataclasses
import os
import re
import typing
from collections.abc import Mapping
from pathlib import Path

from memprof_middleware.errors import ConfigError
from memprof_middleware.model.ignored import ignored_item
from memprof_middleware.model.value import valueclass
from memprof_middleware.settings import is_level, is_network, is_token, known, setting, unknown, validated

ENV_PREFIX = "MEMPROF_"
# Kubernetes tells each container of the Services beside it: one called memprof, or memprof-exporter, makes these.
_SERVICE = re.compile(r"\w+_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)")
_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://.+")
SINK_NAMES = ("log", "otel", "otlp", "dogstatsd", "statsd", "sentry")


@valueclass(frozen=True, kw_only=True)
class Config:
    """All settings of the profiler, each with its default.

    Raises:
        ConfigError: a value has the wrong type, is out of range, or two values contradict each other. The message
            names the setting, the value given and what is allowed.
    """

    enabled: bool = setting(
        True,
        "`false` switches the profiler off: no thread, no measurement. `/metrics` stays.",
    )
    background: bool = setting(True, "`false`: no thread. Call `take_snapshot()` and `detect_leaks()` yourself.")
    interval: float = setting(
        60.0,
        "Seconds between two snapshots. Below 10 s, raise `cpu_budget` too (1 s: 5).",
        lambda v: 1 <= v <= 86400,
        "1 to 86400 seconds",
    )
    history_size: int = setting(
        1000, "Number of snapshots kept in memory.", lambda v: 10 <= v <= 100_000, "10 to 100000"
    )
    top_types: int = setting(
        20,
        "Number of types that a snapshot and `/metrics` name, most numerous first.",
        lambda v: 1 <= v <= 200,
        "1 to 200",
    )
    max_routes: int = setting(
        100,
        "At most this many routes are tracked by name, the busiest ones; all others are counted together as `<other>`.",
        lambda v: 1 <= v <= 1000,
        "1 to 1000",
    )
    warmup_snapshots: int = setting(
        3,
        "Snapshots after the start that are not judged. The baseline is taken after them.",
        lambda v: 0 <= v <= 1000,
        "0 to 1000",
    )
    auto_baseline: bool = setting(True, "Take the baseline after warm-up, unless one was set or loaded.")
    baseline_file: str | None = setting(None, "Baseline to load at start, written by `save_baseline()`.")
    heap_size_mb: float | None = setting(
        None,
        "Memory limit of one process, in MB (2^20 bytes). Not set: the smallest of cgroup limit, `RLIMIT_AS` and RAM.",
        lambda v: v > 0,
        "more than 0",
    )
    heap_warning_percent: float = setting(
        80.0,
        "Memory in use, in percent of the limit, that raises a warning.",
        lambda v: 0 < v <= 100,
        "more than 0, up to 100",
    )
    heap_critical_percent: float = setting(
        90.0,
        "Memory in use, in percent of the limit, that raises a critical alert. Must be above the warning.",
        lambda v: 0 < v <= 100,
        "more than 0, up to 100",
    )
    heap_growth_percent_per_hour: float = setting(
        10.0, "Growth of memory in use, in percent an hour, that raises a warning.", lambda v: v > 0, "more than 0"
    )
    gc_spike_factor: float = setting(
        2.0,
        "Full collections this many times as frequent as before raise an alert.",
        lambda v: v > 1,
        "more than 1",
    )
    thresholds: str = setting(
        "fixed",
        "`auto`: thresholds that you did not set are learned from the first days. `fixed`: defaults.",
        lambda v: v in {"fixed", "auto"},
        "'fixed' or 'auto'",
    )
    release: str | None = setting(
        None,
        "Version of your application. Thresholds are learned for each release, and releases are compared.",
        lambda v: len(v) <= 64 and v.isprintable(),
        "up to 64 printable characters, such as '2.4.1'",
    )
    state_dir: str | None = setting(
        None,
        "Folder for learned thresholds and acknowledged incidents, used by this application only. Not set: "
        "beside `baseline_file`; without that, they are lost at restart.",
    )
    leak_growth_percent: float = setting(
        50.0,
        "Least growth in percent. Below it a type has no severity, and `leak_confirm_requests` does not confirm it.",
        lambda v: 0 < v <= 100,
        "more than 0, up to 100 (above 100 %, 150 % and 200 % the severity rises)",
    )
    leak_min_objects: int = setting(100, "Least growth in objects, for the same.", lambda v: v >= 1, "1 or more")
    leak_min_snapshots: int = setting(
        6, "Snapshots after warm-up before anything is judged.", lambda v: v >= 4, "4 or more"
    )
    leak_confirm_requests: int | None = setting(
        None,
        "For a laboratory: a leak is confirmed after steady growth over this many requests, however little "
        "memory it takes. Not set: [by the memory that it takes](leaks.md).",
        lambda v: v >= 1,
        "1 or more",
    )
    leak_confirm_hours: float | None = setting(
        None,
        "The same in hours, for applications with little traffic.",
        lambda v: v > 0,
        "more than 0",
    )
    evidence: bool = setting(
        True,
        "Write an evidence file when a leak is confirmed or memory reaches 85 % of the limit (at most two of "
        "each an hour).",
    )
    evidence_dir: str | None = setting(
        None,
        "Parent of the private folder for evidence files; the last 20 are kept. Not set: the system's "
        "temporary folder.",
    )
    ignore: tuple[str, ...] = setting(
        (),
        "Holders, types or routes that are not reported, each with a reason if you like: `shop.geo.CITIES = bounded by "
        "the number of cities`, `type:shop.Row`, `route:GET /healthz`. Their growth still counts against the limit.",
    )
    route_min_bytes: float = setting(
        100.0,
        "A route is reported only if it keeps at least this many bytes per request, or one object.",
        lambda v: v >= 0,
        "0 or more",
    )
    run_dir: str | None = setting(
        None,
        "Parent of the private folder through which workers find each other. Not set: `/dev/shm`, else the "
        "temporary folder.",
    )
    cpu_budget: float = setting(
        0.5,
        "CPU time that the profiler may use, in percent of one core, in the long run: a young process may spend up to "
        "1.5 s ahead, once. Measurements above it are skipped or sampled.",
        lambda v: 0.01 <= v <= 100,
        "0.01 to 100",
    )
    max_stall: float = setting(
        10.0,
        "Longest pause of requests, in ms per interval, that counting objects may cause. If a count takes "
        "longer, it runs less often.",
        lambda v: v >= 1,
        "1 or more",
    )
    tracemalloc: bool = setting(
        False,
        "Trace allocations, 1 frame deep. Makes allocation-heavy code 7 to 10 times slower. A trace that "
        "already runs is left alone.",
    )
    freeze_after_fork: bool = setting(
        True,
        "In a forked worker, call `gc.freeze()`, so that a full collection does not copy the pages of inherited "
        "objects. Inherited objects in cycles are then not freed.",
    )
    namespace: str = setting(
        "fogcompute",
        "First part of every metric name. The published dashboard and rules use the default.",
        lambda v: re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", v) is not None,
        "letters, digits and _, no digit first",
    )
    metrics_path: str | None = setting(
        "/metrics",
        "Path of the metrics. Empty: not served by the application.",
        lambda v: re.fullmatch(r"/[^\s?#]*[^\s?#/]", v) is not None,
        "a path with a leading slash and no trailing one, such as '/metrics'",
    )
    metrics_token: str | None = setting(
        None,
        "Bearer token that is required to read the metrics. Not set: none.",
        is_token,
        "8 or more printable ASCII characters, no space at either end",
        secret=True,
    )
    metrics_allow: tuple[str, ...] = setting(
        (),
        "Client addresses or networks that may read the metrics. Not set: all.",
        lambda v: all(map(is_network, v)),
        "IP addresses or networks such as '10.0.0.0/8'",
    )
    token: str | None = setting(
        None,
        "Password of the page and its API. Not set: the page is disabled.",
        is_token,
        "8 or more printable ASCII characters, no space at either end",
        secret=True,
    )
    sinks: tuple[str, ...] = setting(
        (),
        "Other monitoring systems that receive figures and alerts.",
        lambda v: set(v) <= set(SINK_NAMES) and len(set(v)) == len(v),
        ", ".join(SINK_NAMES) + "; each once",
    )
    remedies: tuple[str, ...] = setting(
        (),
        "What to try when memory is high: `collect` (full garbage collection), `callbacks` (functions "
        "registered with `register_remedy`), `trim` (return free memory to the system; glibc only). Each is "
        "measured and logged.",
        lambda v: set(v) <= {"collect", "callbacks", "trim"},
        "any of 'collect', 'callbacks', 'trim'",
    )
    remedies_per_hour: int = setting(
        6, "Most rounds of remedies in an hour, in one worker.", lambda v: 1 <= v <= 60, "1 to 60"
    )
    recycle: float | None = setting(
        None,
        "Memory in use, in MB, at which a worker finishes its requests and ends, so that the server replaces "
        "it. Not set: never.",
        lambda v: v > 0,
        "more than 0",
    )
    recycle_supervised: bool = setting(
        False,
        "`true`: a supervisor (systemd, Docker, Kubernetes) restarts a single-process server, so it may "
        "recycle itself.",
    )
    recycle_patience: float = setting(
        60.0,
        "Seconds that memory must stay at or above `recycle`, in at least three snapshots.",
        lambda v: 1 <= v <= 86400,
        "1 to 86400 seconds",
    )
    recycle_min_lifetime: float = setting(
        60.0,
        "Shortest life of a worker, in seconds, before it may be recycled.",
        lambda v: 1 <= v <= 86400,
        "1 to 86400 seconds",
    )
    recycle_cooldown: float = setting(
        30.0,
        "Seconds between two recycled workers of a server. Longer than a new worker takes to start.",
        lambda v: 1 <= v <= 86400,
        "1 to 86400 seconds",
    )
    recycle_per_hour: int = setting(
        6, "Most workers of a server recycled in an hour.", lambda v: 1 <= v <= 1000, "1 to 1000"
    )
    recycle_drain: float = setting(
        60.0,
        "Seconds after which a recycled worker ends even if requests are still running.",
        lambda v: 1 <= v <= 86400,
        "1 to 86400 seconds",
    )
    page_path: str | None = setting(
        "/memprof",
        "Path of the page (needs `token`). Empty: not served.",
        lambda v: re.fullmatch(r"/[^\s?#]*[^\s?#/]", v) is not None,
        "a path with a leading slash and no trailing one, such as '/memprof'",
    )
    log_level: str | None = setting(
        None,
        "Level of the `memprof` logger. Not set: as your logging configuration says.",
        is_level,
        "a level of the logging module, such as 'INFO'",
    )

    if not typing.TYPE_CHECKING:  # type checkers know the arguments

        def __new__(cls, *_args, **given):  # noqa: D102
            strange = given.keys() - _KINDS.keys()
            if strange:
                raise ConfigError(unknown(min(strange), sorted(_KINDS)))
            return object.__new__(cls)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, validated(field, _KINDS[field.name], getattr(self, field.name)))
        if self.heap_critical_percent <= self.heap_warning_percent:
            raise ConfigError(
                f"heap_critical_percent={self.heap_critical_percent!r} must be above "
                f"heap_warning_percent={self.heap_warning_percent!r}"
            )
        if self.page_path is not None and self.page_path == self.metrics_path:
            raise ConfigError(f"page_path={self.page_path!r} must not be metrics_path too")
        for item in self.ignore:
            try:
                ignored_item(item)
            except ValueError as error:
                raise ConfigError(
                    f"ignore={item!r}: {error}; allowed: holders such as 'shop.geo.CITIES', 'type:shop.Row' and "
                    "'route:GET /healthz', each with ' = ' and a reason if you like"
                ) from None
        if self.recycle is not None and self.heap_size_mb is not None and self.recycle >= self.heap_size_mb:
            raise ConfigError(
                f"recycle={self.recycle!r} must be below heap_size_mb={self.heap_size_mb!r}, else the system ends the "
                "worker first"
            )

    @property
    def state_folder(self) -> Path | None:
        """The folder of learned figures and decisions: ``state_dir``, else that of ``baseline_file``; or ``None``."""
        if self.state_dir is not None:
            return Path(self.state_dir)
        return None if self.baseline_file is None else Path(self.baseline_file).parent

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object], *, prefix: str = "") -> Config:
        """Read settings from a host's configuration; keys may be in upper or lower case.

        Args:
            mapping: names to values; values may be strings, as in the environment.
            prefix: only keys that start with it are read, and it is cut off; other keys are the host's own.

        Raises:
            ConfigError: as the class; also for an unknown key (the message lists the valid ones).
        """
        return cls(**known(mapping, prefix, _KINDS))

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
        given = os.environ if environ is None else environ
        found = known({key: value for key, value in given.items() if not _is_service(key, value)}, ENV_PREFIX, _KINDS)
        # Files of environments often name a variable and give it no value.
        free = {f.name: f for f in dataclasses.fields(self) if getattr(self, f.name) == f.default}
        taken: dict[str, typing.Any] = {
            key: validated(free[key], _KINDS[key], value, ENV_PREFIX + key.upper())
            for key, value in found.items()
            if key in free and not (value == "" and _KINDS[key] in _NUMBERS)
        }
        return dataclasses.replace(self, **taken)


def _is_service(key: str, value: str) -> bool:
    """Whether a variable tells of a Service of Kubernetes."""
    return bool(_SERVICE.fullmatch(key) or (key.endswith("_PORT") and _ADDRESS.fullmatch(value)))


_NUMBERS = (bool, float, int)
_KINDS: dict[str, typing.Any] = typing.get_type_hints(Config)
