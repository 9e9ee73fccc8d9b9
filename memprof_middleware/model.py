"""Frozen values that flow through the profiler. Each round-trips through JSON. MB means 2^20 bytes."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping

MB = 1024.0 * 1024.0

Severity = typing.Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = typing.get_args(Severity)
LeakKind = typing.Literal["objects", "container", "untracked", "native", "mapped", "fragmentation"]
LeakState = typing.Literal["suspected", "confirmed", "resolved"]


class _Value:
    """``to_dict`` and ``from_dict`` for the frozen dataclasses below."""

    __slots__ = ()

    def to_dict(self) -> dict[str, typing.Any]:
        """The value as JSON-ready types."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, data: Mapping[str, typing.Any]) -> typing.Self:
        """The value that ``to_dict`` wrote; keys that this version does not know are ignored.

        Raises:
            ValueError: a field is missing or is of the wrong type.
        """
        hints = _hints(typing.cast("typing.Any", cls))
        fields = [f for f in dataclasses.fields(cls) if f.init]  # type: ignore[arg-type]
        try:
            return cls(**{f.name: _restored(f.name, hints[f.name], data[f.name]) for f in fields if f.name in data})
        except (TypeError, AttributeError, KeyError) as error:
            raise ValueError(f"{cls.__name__}: {error}") from error


@functools.cache
def _hints(cls: typing.Any) -> dict[str, typing.Any]:
    return typing.get_type_hints(cls)


def _plain(value: typing.Any) -> typing.Any:
    if isinstance(value, _Value):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _restored(name: str, kind: typing.Any, value: typing.Any) -> typing.Any:
    """The value as the field's type; what a file or another process sent is believed only after a look."""
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        kind = next(arg for arg in typing.get_args(kind) if arg is not types.NoneType)
    if isinstance(kind, type) and issubclass(kind, _Value):
        return kind.from_dict(value)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_restored(name, args[0], item) for item in value)
    if origin is Mapping and isinstance(value, Mapping):
        return {_restored(name, args[0], key): _restored(name, args[1], item) for key, item in value.items()}
    if origin is typing.Literal and value in args:
        return value
    if kind is float and type(value) in {int, float} and math.isfinite(value):
        return float(value)
    if kind in {int, str, bool} and type(value) is kind:
        return value
    raise TypeError(f"{name} is of type {type(value).__name__}, which is not what belongs there")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MemorySnapshot(_Value):
    """What one look at this process found. ``None``: could not be measured here.

    Attributes:
        timestamp: seconds since the epoch, by the profiler's clock.
        pid: the process that was looked at.
        heap_size_mb: memory this process may use.
        heap_size_source: where that limit comes from, such as ``"cgroup v2"`` or ``"ram"``.
        heap_used_mb: anonymous resident memory.
        private_mb: memory that only this process has (USS); at most a minute old.
        proportional_mb: the same, with a part of each shared page (PSS): the sum over workers counts none twice.
        container_used_mb: working set of all processes in the container, by its control group.
        container_size_mb: the container's memory limit.
        rss_mb: resident set size.
        vms_mb: virtual size.
        file_mb: resident pages of files, such as shared libraries.
        shared_mb: resident shared memory.
        native_in_use_mb: what the C library's allocator has given out; objects up to 512 bytes are not among it.
        native_retained_mb: what the C library's allocator holds free for reuse.
        allocated_blocks: blocks that Python's own allocator has given out: nearly every object up to 512 bytes.
        requests: requests answered so far.
        in_flight: requests that had begun and not ended.
        total_objects: live objects that the garbage collector tracks, frozen ones left out.
        frozen_objects: objects that ``gc.freeze()`` hides from counting.
        census_timestamp: when the objects were counted; earlier than the snapshot where the budget put a census off.
        census_stride: every how-many-th object was looked at; above 1 the counts are estimates.
        census_error_percent: standard error of the count of a type that makes up 1 % of the objects.
        census_seconds: wall time of the census.
        census_cpu_seconds: processor time of the census.
        census_stall_seconds: the longest time in the census that no other thread could run.
        object_counts: the most numerous types, ``module.QualName`` to live objects.
        gc_collections: collections of generation 0, 1 and 2 since the process began.
        gc_per_hour: full collections per hour since the previous snapshot.
        gc_pause_seconds: time spent in collections since the profiler began to watch.
        gc_pause_max_seconds: the longest collection since the previous snapshot.
        tracemalloc_current_mb: traced memory now; ``None`` while nothing traces.
        tracemalloc_peak_mb: highest traced memory.
        duration_seconds: wall time this snapshot took.
    """

    timestamp: float
    pid: int
    heap_size_mb: float | None = None
    heap_size_source: str = ""
    heap_used_mb: float | None = None
    private_mb: float | None = None
    proportional_mb: float | None = None
    container_used_mb: float | None = None
    container_size_mb: float | None = None
    rss_mb: float | None = None
    vms_mb: float | None = None
    file_mb: float | None = None
    shared_mb: float | None = None
    native_in_use_mb: float | None = None
    native_retained_mb: float | None = None
    allocated_blocks: int | None = None
    requests: int = 0
    in_flight: int = 0
    total_objects: int | None = None
    frozen_objects: int = 0
    census_timestamp: float | None = None
    census_stride: int = 1
    census_error_percent: float = 0.0
    census_seconds: float = 0.0
    census_cpu_seconds: float = 0.0
    census_stall_seconds: float = 0.0
    object_counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    gc_collections: tuple[int, ...] = (0, 0, 0)
    gc_per_hour: float | None = None
    gc_pause_seconds: float = 0.0
    gc_pause_max_seconds: float = 0.0
    tracemalloc_current_mb: float | None = None
    tracemalloc_peak_mb: float | None = None
    duration_seconds: float = 0.0

    @property
    def heap_percent(self) -> float | None:
        """Heap used in percent of the heap size."""
        if self.heap_used_mb is None or not self.heap_size_mb:
            return None
        return 100.0 * self.heap_used_mb / self.heap_size_mb


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Leak(_Value):
    """Something that keeps growing: one incident, led by what explains the rest of it.

    Attributes:
        name: the type, as ``module.QualName``, or the path of the container.
        kind: what grows: live ``"objects"`` of a type, the entries of a ``"container"``, ``"untracked"`` Python data
            such as bytes and strings, ``"native"`` memory, memory ``"mapped"`` outside the allocators, or
            ``"fragmentation"``: memory that was measured to be free and is kept.
        state: ``"suspected"`` at first, ``"confirmed"`` once it has taken a good part of the room undiminished,
            ``"resolved"``.
        severity: by growth: above 200 % critical, 150 % high, 100 % medium, else low.
        confidence: how sure the verdict is, 0 to 1.
        notable: it matters, and all tests are passed; what does not is only watched: listed and told to nobody.
        holder: what holds it, as a person would write it, with the share of a sample that it explains; or that it is
            held outside Python; empty while that is not known.
        route: whose requests make it grow; empty while that is not known.
        evidence: the sentences that the verdict rests on.
        also: what else grows with it, part of the same incident.
        first: live objects, entries, blocks or bytes at the start of the period that the verdict rests on.
        last: the same now.
        growth_percent: growth from first to last (a first of 0 counts as 1).
        growth_per_hour: growth per hour over that period.
        growth_per_request: growth per request served over that period; ``None`` without requests.
        bytes_per_hour: what it takes an hour; 0 while it is only watched.
        hours_left: until the limit is reached at that rate; ``None``: not known.
        relapses: how often it was over and grew again.
        since: when that period began, seconds since the epoch.
        detected_at: when the leak was first suspected.
        snapshots: how many snapshots the verdict rests on.
    """

    name: str
    kind: LeakKind = "objects"
    state: LeakState = "suspected"
    severity: Severity
    confidence: float = 0.5
    notable: bool = True
    holder: str = ""
    route: str = ""
    evidence: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    first: int
    last: int
    growth_percent: float
    growth_per_hour: float
    growth_per_request: float | None = None
    bytes_per_hour: float = 0.0
    hours_left: float | None = None
    relapses: int = 0
    since: float
    detected_at: float
    snapshots: int

    @property
    def growth(self) -> int:
        """What was gained from first to last."""
        return self.last - self.first


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RouteWindows(_Value):
    """What one worker adds to the attribution of growth to routes: a row for each of its last windows.

    Attributes:
        source: how bytes were read, as in :class:`RouteGrowth`.
        routes: the routes of the rows.
        rows: seconds, change of the requests in flight, growth in bytes, growth in blocks, requests whose garbage a
            full collection took; then the requests of each route.
    """

    source: str
    routes: tuple[str, ...]
    rows: tuple[tuple[float | None, ...], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate(_Value):
    """A figure and the interval in which the truth lies with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RouteGrowth(_Value):
    """What the requests of a route keep, or of several routes that always come together.

    Attributes:
        route: method and template.
        together_with: routes whose requests come and go with this one's: which of them keeps it cannot be told, and
            the figures are for all of them together.
        unit: what is kept: ``"bytes"``, ``"objects"`` (blocks of Python's allocator) or a type.
        source: how that was read: ``"in use"`` (the C library's count), ``"resident"`` (anonymous memory, which
            moves in pages and keeps what was freed), ``"blocks"`` or ``"census"``.
        requests: requests in the windows that the figure rests on.
        windows: how many windows those are.
        kept: what they kept in all.
        share: the same as a part of all that grew in those windows, 0 to 1.
        per_hour: what is kept in an hour of such traffic, in one worker.
        worker: the worker that the figure is about; empty: all together.
        per_request: what one request keeps.
    """

    route: str
    together_with: tuple[str, ...] = ()
    unit: str = ""
    source: str = ""
    requests: int
    windows: int
    kept: float
    share: float
    per_hour: float
    per_request: Estimate
    worker: str = ""

    @property
    def identified(self) -> bool:
        """Whether one route is meant, and not several that cannot be told apart."""
        return not self.together_with

    def __str__(self) -> str:
        """A sentence: ``POST /cart keeps 19.9 kB (19.2-20.6) per request``."""
        low, value, high = self.per_request.low, self.per_request.value, self.per_request.high
        if self.unit == "bytes":
            scale, unit = (1e6, " MB") if value >= 1e6 else (1e3, " kB") if value >= 1e3 else (1.0, " bytes")
        else:
            scale, unit = 1.0, f" {self.unit}"
        digits = 1 if value / scale < 100 else 0
        shown, least, most = (f"{number / scale:,.{digits}f}" for number in (value, low, high))
        if self.worker:
            return f"{self.route} keeps {shown}{unit} ({least}-{most}) per request in worker {self.worker}"
        if self.identified:
            return f"{self.route} keeps {shown}{unit} ({least}-{most}) per request"
        names = " and ".join((self.route, *self.together_with))
        return (
            f"{names} keep {shown}{unit} ({least}-{most}) per request, which of them cannot be told: they come together"
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DriftReport(_Value):
    """How far this process is from its baseline. Percentages are of the baseline; ``None``: not measured in both.

    Attributes:
        baseline_timestamp: when the baseline was taken.
        timestamp: when the compared snapshot was taken.
        heap_mb: change of heap used.
        heap_percent: the same, in percent.
        objects: change of live objects.
        objects_percent: the same, in percent.
        gc_per_hour: change of full collections per hour.
        significant: heap above 20 %, objects above 30 % or collections above 10 an hour.
        reasons: a sentence for each limit that was passed.
    """

    baseline_timestamp: float
    timestamp: float
    heap_mb: float | None
    heap_percent: float | None
    objects: int | None
    objects_percent: float | None
    gc_per_hour: float | None
    significant: bool
    reasons: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Alert(_Value):
    """A condition that began or ended.

    Attributes:
        name: the condition: ``heap_warning``, ``heap_critical``, ``heap_growth``, ``gc_spike``, ``exhaustion``,
            ``leak`` or ``route_leak``.
        subject: what it is about, where one condition can hold for many: the leaking type or route; of an exhaustion
            ``worker`` or ``shared``.
        severity: ``low`` to ``critical``.
        message: a sentence for people.
        value: the figure that was judged.
        threshold: the figure it was judged against.
        since: when the condition began.
        timestamp: when this record was made.
        hours_left: of a leak, until the limit is reached; ``None``: not known.
        active: ``True`` when the condition begins, ``False`` when it ends.
    """

    name: str
    severity: Severity
    message: str
    value: float
    threshold: float
    since: float
    timestamp: float
    subject: str = ""
    hours_left: float | None = None
    active: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outlook(_Value):
    """What is left of a limit, and for how long. ``None``: not known, or there is nothing to say.

    Attributes:
        used_mb: memory in use.
        limit_mb: the limit it counts against.
        low_seconds: until the limit is reached if the peaks go on rising as they do: the early end of the range.
        high_seconds: the same by the floor: the late end. Both are ``None`` unless the floor rises steadily.
        mb_per_hour: how fast the floor rises; only with a range.
        seen_hours: the period that the range rests on; it is trusted half as far ahead.
        novelty: how far memory stands above all of the last 24 hours, in units of its own noise; above 2 is unusual.
    """

    used_mb: float
    limit_mb: float | None = None
    low_seconds: float | None = None
    high_seconds: float | None = None
    mb_per_hour: float | None = None
    seen_hours: float | None = None
    novelty: float | None = None

    @property
    def headroom_mb(self) -> float | None:
        """What may still be used; 0 above the limit."""
        return None if self.limit_mb is None else max(0.0, self.limit_mb - self.used_mb)

    @property
    def span(self) -> str:
        """The range for people: ``40 min to 2.5 h``; empty if there is none."""
        if self.low_seconds is None or self.high_seconds is None:
            return ""
        ends = (self.low_seconds, self.high_seconds)
        low, high = (f"{s / 60:.0f} min" if s < 5400 else f"{s / 3600:.1f} h" for s in ends)
        return low if low == high else f"{low} to {high}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Forecast(_Value):
    """What is left of the limits that a worker lives under.

    Attributes:
        worker: of its own limit.
        shared: of the one that all workers share; ``None`` where nothing is shared or known.
        shared_past: the past of the shared figure, packed, for the worker that takes this one's place; told by the
            worker with the lowest number.
    """

    worker: Outlook | None = None
    shared: Outlook | None = None
    shared_past: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SinkHealth(_Value):
    """How one worker's deliveries to another monitoring system go.

    Attributes:
        name: the sink.
        delivered: figures and alerts that it took; for a sink that is read, how often it was read.
        dropped: figures that newer ones replaced before it took them, and alerts that it could not be given.
        failed: calls that raised.
        last_delivery: when it took something last, seconds since the epoch; ``None``: never in this process.
    """

    name: str
    delivered: int = 0
    dropped: int = 0
    failed: int = 0
    last_delivery: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MemoryMetrics(_Value):
    """Everything that one process tells the outside: the last snapshot and what was made of it.

    Attributes:
        worker: the label that tells this process from its siblings.
        pid: this process.
        start_time: when the profiler began to watch this process, seconds since the epoch.
        snapshot: the last snapshot; ``None`` before the first.
        leaks: open leaks.
        drift: distance from the baseline, where there is one.
        leak_detections: leaks called so far, by severity; one that gets worse counts again under its new severity.
        snapshots_taken: snapshots so far.
        requests: requests the host has answered so far.
        failures: failures inside the profiler so far, by kind.
        cpu_seconds: processor time that the profiler has used.
        census_skipped: snapshots that went without a census, by reason.
        history_bytes: memory that the kept snapshots take.
        heap_start_mb: heap used when this process was first looked at, after its fork.
        baseline: what drift is measured against.
        in_flight: requests that had begun and not ended at the last snapshot.
        route_requests: requests answered so far, by route.
        route_windows: for the other workers: what this one's share of the attribution rests on.
        route_growth: what requests keep, by route, over all workers; told by the worker with the lowest number.
        remedies: remedies that ran so far, by name.
        remedy_freed_mb: what they gave back, by name.
        recycles: workers of this server that retired so far; ``None``: recycling is off, or its file cannot be read.
        recycle_refusals: snapshots at which this worker was to retire and did not, by reason.
        answering: whether this is the worker that answers.
        forecast: what is left of the limits, and for how long; ``None`` before the first snapshot.
        sinks: how the deliveries to other monitoring systems go.
    """

    worker: str
    pid: int
    start_time: float
    snapshot: MemorySnapshot | None = None
    leaks: tuple[Leak, ...] = ()
    drift: DriftReport | None = None
    leak_detections: Mapping[str, int] = dataclasses.field(default_factory=dict)
    snapshots_taken: int = 0
    requests: int = 0
    failures: Mapping[str, int] = dataclasses.field(default_factory=dict)
    cpu_seconds: float = 0.0
    census_skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    history_bytes: int = 0
    heap_start_mb: float | None = None
    baseline: MemorySnapshot | None = None
    in_flight: int = 0
    route_requests: Mapping[str, int] = dataclasses.field(default_factory=dict)
    route_windows: RouteWindows | None = None
    route_growth: tuple[RouteGrowth, ...] = ()
    remedies: Mapping[str, int] = dataclasses.field(default_factory=dict)
    remedy_freed_mb: Mapping[str, float] = dataclasses.field(default_factory=dict)
    recycles: int | None = None
    recycle_refusals: Mapping[str, int] = dataclasses.field(default_factory=dict)
    answering: bool = False
    forecast: Forecast | None = None
    sinks: tuple[SinkHealth, ...] = ()
