"""Settings: one frozen value, validated once. The only place that holds defaults."""

from __future__ import annotations

import dataclasses
import os
import re
import typing
from collections.abc import Mapping

from memprof_middleware.errors import ConfigError
from memprof_middleware.model.value import valueclass
from memprof_middleware.settings import is_level, is_network, known, setting, validated

ENV_PREFIX = "MEMPROF_"
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
        "`false` turns the profiler off without touching code: no thread, no measuring, `/metrics` stays.",
    )
    background: bool = setting(
        True, "`false`: no thread; the caller steps the profiler with `take_snapshot()` and `detect_leaks()`."
    )
    interval: float = setting(60.0, "Seconds between two snapshots.", lambda v: 1 <= v <= 86400, "1 to 86400 seconds")
    history_size: int = setting(1000, "How many snapshots are kept.", lambda v: 10 <= v <= 100_000, "10 to 100000")
    top_types: int = setting(
        20,
        "How many types a snapshot and `/metrics` name, the most numerous first.",
        lambda v: 1 <= v <= 200,
        "1 to 200",
    )
    max_routes: int = setting(
        100,
        "How many routes are counted by name, those asked for most of late; the requests of further ones are one.",
        lambda v: 1 <= v <= 1000,
        "1 to 1000",
    )
    warmup_snapshots: int = setting(
        3,
        "Snapshots at the start that no leak verdict rests on; the baseline is taken when they are over.",
        lambda v: 0 <= v <= 1000,
        "0 to 1000",
    )
    auto_baseline: bool = setting(True, "Take the baseline when warm-up is over, unless one was set or loaded.")
    baseline_file: str | None = setting(None, "A baseline saved with `save_baseline()`, loaded at start.")
    heap_size_mb: float | None = setting(
        None,
        "The memory this process may use, in MB (2^20 bytes); unset: the cgroup limit, `RLIMIT_AS` or RAM.",
        lambda v: v > 0,
        "more than 0",
    )
    heap_warning_percent: float = setting(
        80.0,
        "Heap in use at which a warning is raised, in percent of the heap size.",
        lambda v: 0 < v <= 100,
        "more than 0, up to 100",
    )
    heap_critical_percent: float = setting(
        90.0,
        "Heap in use at which a critical alert is raised; above the warning.",
        lambda v: 0 < v <= 100,
        "more than 0, up to 100",
    )
    heap_growth_percent_per_hour: float = setting(
        10.0, "Heap growth at which a warning is raised.", lambda v: v > 0, "more than 0"
    )
    gc_spike_factor: float = setting(
        2.0,
        "How many times its previous rate garbage collection must run to be a spike.",
        lambda v: v > 1,
        "more than 1",
    )
    thresholds: str = setting(
        "fixed",
        "`auto`: thresholds that are left at their default are learned from the application's first days.",
        lambda v: v in {"fixed", "auto"},
        "'fixed' or 'auto'",
    )
    release: str | None = setting(
        None,
        "The version of the application: each is learned anew, and compared with the one before.",
        lambda v: len(v) <= 64 and v.isprintable(),
        "up to 64 printable characters, such as '2.4.1'",
    )
    state_dir: str | None = setting(
        None,
        "A folder of this application alone, where what was learned is kept; unset: beside `baseline_file`, else "
        "nothing is kept.",
    )
    leak_growth_percent: float = setting(
        50.0,
        "A type leaks only when it grew by more than this from first to last.",
        lambda v: 0 < v <= 100,
        "more than 0, up to 100 (above 100 %, 150 % and 200 % the severity rises)",
    )
    leak_min_objects: int = setting(
        100, "A type leaks only when it grew by more than this many objects.", lambda v: v >= 1, "1 or more"
    )
    leak_min_snapshots: int = setting(
        6, "Snapshots after warm-up before a leak is called.", lambda v: v >= 4, "4 or more"
    )
    leak_confirm_requests: int | None = setting(
        None,
        "For a laboratory: what has grown undiminished for so many requests is confirmed, however little memory it "
        "takes; unset: [by what it takes of the room](leaks.md).",
        lambda v: v >= 1,
        "1 or more",
    )
    leak_confirm_hours: float | None = setting(
        None,
        "The same in hours, where there are few requests.",
        lambda v: v > 0,
        "more than 0",
    )
    evidence: bool = setting(
        True,
        "Write an evidence file when a leak is confirmed or 85 % of the limit is reached; at most two an hour of each.",
    )
    evidence_dir: str | None = setting(
        None,
        "Where the private folder for evidence files is made, twenty of which are kept; unset: the folder for "
        "temporary files.",
    )
    route_min_bytes: float = setting(
        100.0,
        "A route is called leaking only when a request keeps at least this many bytes, or an object.",
        lambda v: v >= 0,
        "0 or more",
    )
    run_dir: str | None = setting(
        None,
        "Where the private folder is made in which the workers of a server find one another; unset: `/dev/shm`, else "
        "the folder for temporary files.",
    )
    cpu_budget: float = setting(
        0.5,
        "Processor time that the profiler may use, in percent of one core.",
        lambda v: 0.01 <= v <= 100,
        "0.01 to 100",
    )
    max_stall: float = setting(
        10.0,
        "Milliseconds per interval that a census may hold other threads up for; one that takes longer is rarer.",
        lambda v: v >= 1,
        "1 or more",
    )
    tracemalloc: bool = setting(
        False,
        "Trace allocations, 1 frame deep (slows allocation-heavy work 7-10x). A running trace is never stopped.",
    )
    freeze_after_fork: bool = setting(
        True,
        "In a forked worker whose objects are counted in C: `gc.freeze()` what it inherited, which a full collection "
        "would copy. Cycles that it drops of that later are not collected.",
    )
    namespace: str = setting(
        "fogcompute",
        "First part of every metric name.",
        lambda v: re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", v) is not None,
        "letters, digits and _, no digit first",
    )
    metrics_path: str | None = setting(
        "/metrics",
        "Where the host serves the metrics; empty: not mounted.",
        lambda v: re.fullmatch(r"/[^\s?#]*[^\s?#/]", v) is not None,
        "a path with a leading slash and no trailing one, such as '/metrics'",
    )
    metrics_token: str | None = setting(
        None,
        "If set, `/metrics` answers only requests with `Authorization: Bearer <token>`.",
        lambda v: len(v) >= 8 and v.isascii() and v.isprintable(),
        "8 or more printable ASCII characters",
        secret=True,
    )
    metrics_allow: tuple[str, ...] = setting(
        (),
        "If set, `/metrics` answers only these client addresses or networks.",
        lambda v: all(map(is_network, v)),
        "IP addresses or networks such as '10.0.0.0/8'",
    )
    token: str | None = setting(
        None,
        "Opens everything that shows more than metrics; unset: closed.",
        lambda v: len(v) >= 8 and v.isascii() and v.isprintable(),
        "8 or more printable ASCII characters",
        secret=True,
    )
    sinks: tuple[str, ...] = setting(
        (),
        "Other monitoring systems that hear of figures and alerts.",
        lambda v: set(v) <= set(SINK_NAMES) and len(set(v)) == len(v),
        ", ".join(SINK_NAMES) + "; each once",
    )
    remedies: tuple[str, ...] = setting(
        (),
        "What is tried at high memory, measured and logged: `collect` (a full collection), `callbacks` (what the "
        "application registered with `register_remedy`), `trim` (glibc gives free memory back to the system).",
        lambda v: set(v) <= {"collect", "callbacks", "trim"},
        "any of 'collect', 'callbacks', 'trim'",
    )
    remedies_per_hour: int = setting(
        6, "Rounds of remedies in an hour, at most, in one worker.", lambda v: 1 <= v <= 60, "1 to 60"
    )
    recycle: float | None = setting(
        None,
        "Heap in use, in MB, at which a worker finishes its requests and ends, for the server to replace it; unset: "
        "never.",
        lambda v: v > 0,
        "more than 0",
    )
    recycle_supervised: bool = setting(
        False,
        "`true`: something starts a server of a single process again when it ends (systemd, Docker, Kubernetes), so it "
        "may recycle too.",
    )
    recycle_patience: float = setting(
        60.0,
        "Seconds that the heap must stay at or above `recycle`, in at least three snapshots.",
        lambda v: 1 <= v <= 86400,
        "1 to 86400 seconds",
    )
    recycle_min_lifetime: float = setting(
        60.0, "Seconds that a worker lives at least.", lambda v: 1 <= v <= 86400, "1 to 86400 seconds"
    )
    recycle_cooldown: float = setting(
        30.0,
        "Seconds between two retirements in one server, at least; more than a new worker takes to serve.",
        lambda v: 1 <= v <= 86400,
        "1 to 86400 seconds",
    )
    recycle_per_hour: int = setting(
        6, "Retirements of one server in an hour, at most.", lambda v: 1 <= v <= 1000, "1 to 1000"
    )
    recycle_drain: float = setting(
        60.0,
        "Seconds after which a retiring worker ends even if requests (endless streams) are still in flight.",
        lambda v: 1 <= v <= 86400,
        "1 to 86400 seconds",
    )
    page_path: str | None = setting(
        "/memprof",
        "Where the host serves the page for people, once `token` is set; empty: nowhere.",
        lambda v: re.fullmatch(r"/[^\s?#]*[^\s?#/]", v) is not None,
        "a path with a leading slash and no trailing one, such as '/memprof'",
    )
    log_level: str | None = setting(
        None,
        "Level of the `memprof` logger; unset: as the host's logging has it.",
        is_level,
        "a level of the logging module, such as 'INFO'",
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, validated(field, _KINDS[field.name], getattr(self, field.name)))
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
        found = known(os.environ if environ is None else environ, ENV_PREFIX, _KINDS)
        free = {f.name for f in dataclasses.fields(self) if getattr(self, f.name) == f.default}
        return dataclasses.replace(self, **{key: value for key, value in found.items() if key in free})


_KINDS: dict[str, typing.Any] = typing.get_type_hints(Config)
