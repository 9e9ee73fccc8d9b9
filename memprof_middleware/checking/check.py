"""The leak check in two stages: rounds of equal work, and many more rounds if something grows in each."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from memprof_middleware.analysis.memory import UNTRACKED
from memprof_middleware.checking.series import Series, collect, in_step, increments, steady
from memprof_middleware.checking.work import Work
from memprof_middleware.errors import ConfigError
from memprof_middleware.heap.containers import Container, Containers, find_containers
from memprof_middleware.heap.origins import module_of, rank_of
from memprof_middleware.heap.retainers import find_holders
from memprof_middleware.leaks.grouping import Place, Scene, root_of
from memprof_middleware.leaks.growth import Growth
from memprof_middleware.leaks.incidents import Incident, find_incidents, to_search
from memprof_middleware.model import LeakKind
from memprof_middleware.model.value import valueclass

# Rounds that nobody judges, in which modules are loaded and small caches fill; then those that are judged.
_WARM_UP, _ROUNDS = 2, 5
# Of its requests, so many leave something behind, and at least two a round.
_SHARE, _LEAST = 0.002, 2
# Blocks that each request leaves behind; a list that is made larger now and then, or a free list, takes some.
_BLOCKS = 0.5
# A test has time, and its process may hold what all tests have imported.
_WALK_SECONDS, _WALK_OBJECTS, _WALK_BYTES = 10.0, 1_000_000, 100_000_000
_HOLDER_SECONDS = 5.0
_HOUR = 3600.0


@valueclass(frozen=True, slots=True)
class Finding:
    """Something that each request leaves behind.

    Attributes:
        incident: what grows, what grows with it, and what holds it.
        rounds: what each round of the second stage added.
        requests: of one such round.
    """

    incident: Incident
    rounds: tuple[int, ...]
    requests: int


def findings(
    work: Callable[[], object], requests: int = 20, confirm: int = 2000, ignore: tuple[str, ...] = ()
) -> list[Finding]:
    """The findings: what each run of the work leaves behind; empty without leaks.

    Args:
        work: as for :func:`memprof_middleware.testing.assert_no_leak`, and so with the others.
        requests: of one round.
        confirm: requests of the second stage.
        ignore: patterns of names that do not count.

    Raises:
        ConfigError: a number is too small.
    """
    if type(requests) is not int or requests < 2:
        raise ConfigError(f"requests={requests!r} is out of range; allowed: 2 and more")
    if type(confirm) is not int or confirm < _ROUNDS * requests:
        raise ConfigError(f"confirm={confirm!r} is out of range; allowed: at least {_ROUNDS} times requests={requests}")
    with Work(work) as repeated:
        repeated.repeat(requests)
        repeated.repeat(requests)
        first = _Stage(repeated, requests, {})
        first.run(ignore)
        if not first.grown:
            return []
        second = _Stage(repeated, confirm // _ROUNDS, first.grown, first.last_walk)
        second.run(ignore, early=True)
        return [one for one in second.findings() if not _is_ignored(one.incident, ignore)] if second.grown else []


class _Stage:
    """Rounds of equal work with a reading after each.

    Args:
        work: is repeated.
        requests: of one round.
        before: what each request had added before, by name.
        walk: the containers as they are now, if somebody has just looked.

    Attributes:
        grown: what each request adds, by the name of a type or the path of a container.
    """

    def __init__(self, work: Work, requests: int, before: Mapping[str, float], walk: Containers | None = None) -> None:
        self._work, self._requests, self._before = work, requests, before
        self._series = Series(_ROUNDS + 1)
        self._walks = [] if walk is None else [walk]
        self._walked = [0] * len(self._walks)  # how many rounds had been before each walk
        self.grown: dict[str, float] = {}

    def run(self, ignore: tuple[str, ...], *, early: bool = False) -> None:
        """All rounds; ``early``: no more of them once nothing grows, and the containers are looked at after each."""
        self._read(0, walk=not self._walks)
        for number in range(1, _ROUNDS + 1):
            self._work.repeat(self._requests)
            self._read(number, walk=early or number in {_ROUNDS // 2 + 1, _ROUNDS})
            self.grown = {name: pace for name, pace in self._find().items() if not _is_named(name, ignore)}
            if early and not self.grown:
                break

    @property
    def last_walk(self) -> Containers:
        """The containers as they were after the last round."""
        return self._walks[-1]

    def _read(self, rounds: int, *, walk: bool) -> None:
        self._series.take()
        if walk:
            before = sys.getallocatedblocks()
            self._walks.append(_containers())
            self._walked.append(rounds)
            collect()
            self._series.own += sys.getallocatedblocks() - before

    def _find(self) -> dict[str, float]:
        found = {}
        for name, counts in self._series.counts:
            pace = steady(counts, self._requests, _SHARE, self._before.get(name, 0.0))
            if pace is not None:
                found[name] = pace
        pace = steady(self._series.blocks, self._requests, _BLOCKS, self._before.get(UNTRACKED, 0.0))
        if pace is not None:
            found[UNTRACKED] = pace
        return found | {path: (lengths[-1] - lengths[0]) / self._done for path, lengths in self._containers().items()}

    @property
    def _done(self) -> int:
        """Requests so far."""
        return max(1, (len(self._series.blocks) - 1) * self._requests)

    def _containers(self) -> dict[str, list[int]]:
        """Lengths of the containers that grow from walk to walk, at least as much as a share of the requests."""
        if len(self._walks) < 2:
            return {}
        walks = [{one.path: one.length for one in walk.found} for walk in self._walks]
        rounds = increments(self._walked)
        found = {}
        for path in walks[-1]:
            lengths = [walk.get(path, 0) for walk in walks]
            added = increments(lengths)
            paces = sorted(one / (number * self._requests) for one, number in zip(added, rounds, strict=True))
            median = paces[len(paces) // 2]
            least = max(_SHARE, 0.5 * self._before.get(path, 0.0), 0.5 * median)
            if min(added) >= _LEAST and paces[0] >= least and paces[-1] <= 2 * median:
                found[path] = lengths
        return found

    def findings(self) -> list[Finding]:
        """The growth in all rounds by holder; contents of containers with a maximum size are left out."""
        counts = dict(self._series.counts)
        lengths = self._containers()
        growths = [self._growth(name, "objects", counts[name]) for name in self.grown if name in counts]
        growths += [self._growth(path, "container", found) for path, found in lengths.items() if path in self.grown]
        places = {one.path: one for one in self._walks[-1].found}
        if UNTRACKED in self.grown and not _only_bounded(lengths, places):
            growths.append(self._growth(UNTRACKED, "untracked", self._series.blocks))
        names = to_search(growths, rank_of)
        held = find_holders(names, samples=16, most_seconds=_HOLDER_SECONDS, pause=_no_pause) if names else {}
        scene = Scene(
            holders={name: _grown(name, holding.paths, lengths, places) for name, holding in held.items()},
            places={path: Place(path, one.bound, one.holds, one.entry_bytes) for path, one in places.items()},
            rank=rank_of,
            module=module_of,
            in_step=lambda one, other: in_step(counts, one, other),
            complete=self._walks[-1].complete and self._walks[-1].exhaustive,
        )
        found = find_incidents(growths, scene)
        return [Finding(one, tuple(self._rounds(one.leader, counts)), self._requests) for one in found]

    def _rounds(self, growth: Growth, counts: Mapping[str, list[int]]) -> list[int]:
        if growth.kind == "untracked":
            return increments(self._series.blocks)
        return increments(counts[growth.name]) if growth.kind == "objects" else []

    def _growth(self, name: str, kind: LeakKind, values: list[int]) -> Growth:
        amount = values[-1] - values[0]
        return Growth(
            name=name,
            kind=kind,
            first=values[0],
            last=values[-1],
            since=time.time(),
            snapshots=_ROUNDS + 1,
            served=self._done,
            per_request=amount / self._done,
            per_hour=amount * _HOUR,
            steadiness=1.0,
            pace=1.0,
            collections=_ROUNDS,
        )


def _containers() -> Containers:
    return find_containers(
        most_visited=_WALK_OBJECTS,
        most_seconds=_WALK_SECONDS,
        most_bytes=_WALK_BYTES,
        least_length=1,
        pause=_no_pause,
    )


def _grown(
    name: str,
    paths: Sequence[tuple[str, float]],
    lengths: Mapping[str, list[int]],
    places: Mapping[str, Container],
) -> Sequence[tuple[str, float]]:
    """Of the paths to a type's instances those through a container that grows, where there are any.

    Others of its instances may lie elsewhere and have been there before, more of them than a sample shows.
    """
    roots = {root_of(path) for path in lengths}
    through = [(path, share) for path, share in paths if root_of(path) in roots]
    if not through:
        through = [(f"{path}[*]", 1.0) for path in lengths if name in places[path].holds]
    whole = sum(share for _, share in through)
    return [(path, share / whole) for path, share in through] if through else paths


def _only_bounded(lengths: Mapping[str, list[int]], places: Mapping[str, Container]) -> bool:
    """Whether containers grow, and each says itself how large it may become, or lies in one that does."""
    bounded = [path for path in lengths if places[path].bound is not None]
    return bool(lengths) and all(any(path == one or path.startswith(f"{one}[") for one in bounded) for path in lengths)


def _is_ignored(incident: Incident, ignore: tuple[str, ...]) -> bool:
    return any(_is_named(name, ignore) for name in (incident.leader.name, incident.root, incident.holder))


def _is_named(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _no_pause(_seconds: float) -> None:
    """Nothing else runs that would have to wait."""
