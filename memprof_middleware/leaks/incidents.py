"""Incidents: growths of one cause, such as a leaked session with its dict, list and strings, with a leader."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence

from memprof_middleware.leaks.grouping import (
    BUILTIN,
    LIBRARY,
    RUNNING,
    STANDARD,
    Scene,
    depth_in_package,
    group,
    matters,
    root_of,
    telling_rank,
    types_in,
)
from memprof_middleware.leaks.growth import BUFFER, Growth
from memprof_middleware.model.holders import HELD_NATIVE, NO_PATH
from memprof_middleware.model.value import valueclass

_FAR = 1000
# Growth of a mere container that is slower than this is bookkeeping: a server's, a logger's.
_PATH_PER_REQUEST, _PATH_PER_SNAPSHOT = 0.02, 2.0
# One leaked object or entry explains so many bytes, if nobody has weighed it; else so many times its weight.
_BYTES_EACH, _AROUND = 16_384.0, 3.0
# What the entries of a container are made of.
_OWN = frozenset({"untracked", "native"})
# Bytes of a block of Python's allocator, rather many; and how many blocks an entry has at least, with its key.
_BLOCK_BYTES, _BLOCKS_EACH = 256.0, 2


@valueclass(frozen=True, slots=True)
class Incident:
    """Growths that belong together.

    Attributes:
        leader: what explains the others.
        others: what grows with it, the most telling first.
        root: the container or other place that holds it; empty: not known.
        holder: the same for people, with the share of a sample that it explains.
        bound: the most that the container takes, where it says so and there is room for so many.
    """

    leader: Growth
    others: tuple[Growth, ...]
    root: str = ""
    holder: str = ""
    bound: int | None = None

    def led_by(self, name: str) -> Incident:
        """The same, under the name of another member."""
        members = {growth.name: growth for growth in (self.leader, *self.others)}
        others = tuple(growth for member, growth in members.items() if member != name)
        return self.under(members[name], others)

    def under(self, leader: Growth, others: tuple[Growth, ...]) -> Incident:
        """The same with another leader. That no path leads to them was shown of the first one's objects alone."""
        found = dataclasses.replace(self, leader=leader, others=others)
        if leader.name == self.leader.name or not self.holder.startswith(NO_PATH):
            return found
        return dataclasses.replace(found, root="", holder="")

    @property
    def is_held(self) -> bool:
        """Whether something in Python is known to hold it."""
        return bool(self.root) and not self.root.startswith(NO_PATH)

    @property
    def names(self) -> set[str]:
        """The severity of the worst growth in it."""
        return {self.leader.name, *(growth.name for growth in self.others)}


def to_search(growths: Iterable[Growth], rank: Callable[[str], int], most: int = 8) -> list[str]:
    """The types whose holders are searched: the most specific ones, and two builtins."""
    types = sorted(types_in(growths), key=lambda growth: (rank(growth.name), -growth.amount))
    telling = [growth.name for growth in types if rank(growth.name) < BUILTIN]
    builtins = [growth.name for growth in types if rank(growth.name) == BUILTIN and matters(growth)]
    return telling[: most - 2] + builtins[: most - len(telling[: most - 2])]


def find_incidents(growths: Sequence[Growth], scene: Scene, told: Collection[str] = ()) -> list[Incident]:
    """The incidents, those of objects first, then containers, then memory that neither explains.

    Args:
        growths: what grows.
        scene: what is known of its surroundings.
        told: names of memory that the tests have found to be explained by nothing.
    """
    buffers = [growth for growth in growths if growth.name.startswith(BUFFER)]
    groups, shadows = group(growths, scene)
    grouped = [_incident(root, members, shadows.get(root, []), scene) for root, members in groups.items()]
    bound = [incident for incident in grouped if incident.bound is not None]
    unbound = [incident for incident in grouped if incident.bound is None]
    memory = [growth for growth in growths if growth.kind not in {"objects", "container"} and growth not in buffers]
    found = [one for one in unbound if _is_significant(one, scene) or _is_heavy(one, memory, scene)]
    for growth in memory:
        # A cache that fills up to its maximum size is no incident, and holds memory all the same.
        if growth.name in told or not _is_explained(growth, [*found, *bound], scene):
            place = _buffer_of(growth, buffers)
            found.append(Incident(growth, (), root=place, holder=place or _nobody(growth, scene)))
    return found


def _buffer_of(growth: Growth, buffers: Sequence[Growth]) -> str:
    """The path of the buffer that has a good part of memory's growth; empty: no single one has."""
    alike = [one for one in buffers if (one.per_request is None) == (growth.per_request is None)]
    most = max(alike, key=lambda one: one.rate, default=None)
    if growth.kind != "native" or most is None or 2 * most.rate < growth.rate:
        return ""
    return most.name.removeprefix(BUFFER)


def _nobody(growth: Growth, scene: Scene) -> str:
    """Blocks that nothing holds are said to be held in native memory only if all that Python holds was looked at."""
    return HELD_NATIVE if growth.kind in {"untracked", "native"} and scene.complete else ""


def _incident(root: str, members: Sequence[Growth], shadows: Sequence[Growth], scene: Scene) -> Incident:
    types = [growth for growth in members if growth.kind == "objects"]
    telling = [growth for growth in types if scene.rank(growth.name) < BUILTIN or matters(growth)]
    paths = [growth for growth in members if growth.kind == "container"]
    # Tasks and threads by what they run say more than the classes of Python that they are made of.
    if alive := [growth for growth in (*paths, *shadows) if growth.name.startswith(RUNNING)]:
        telling, paths = [growth for growth in telling if scene.rank(growth.name) < STANDARD], alive
    leader = min(telling, key=lambda growth: _order(growth, scene)) if telling else _widest(paths or types)
    rest = sorted(members, key=lambda growth: _order(growth, scene))
    others = [growth for growth in (*rest, *shadows) if growth is not leader]
    own = any(root_of(path) == root for path, _ in scene.holders.get(leader.name, ()))
    # What is in step with things that no path leads to may have a holder all the same.
    known = "" if root.startswith("?") or (root.startswith(NO_PATH) and not own) else root
    bounds = [scene.bound(place) or 0 for path, place in scene.places.items() if root_of(path) == known]
    return Incident(leader, tuple(others), known, _holder(leader, known, scene), max(bounds, default=0) or None)


def _order(growth: Growth, scene: Scene) -> tuple[float, int, int, float]:
    """The application's own types first, then what is nearest to the root or to its package, then the most numerous.

    What a library keeps for one object is named by the object: ``openai.AsyncOpenAI``, not its deepest part.
    """
    paths = scene.holders.get(growth.name, ())
    path = paths[0][0] if paths else ""
    # A way of which a part is left out is long, as is one that is not known.
    steps = path.count(".") + 2 * path.count("[") if path and "…" not in path else _FAR
    depth = depth_in_package(growth.name) if scene.rank(growth.name) == LIBRARY else 0
    return telling_rank(growth.name, scene), steps, depth, -growth.amount


def _widest(growths: Sequence[Growth]) -> Growth:
    """The outermost container that grows by a good part of what the inner ones do."""
    most = max(growth.amount for growth in growths)
    return min(
        (growth for growth in growths if growth.amount >= 0.3 * most),
        key=lambda growth: (len(growth.name), growth.name),
    )


def _holder(leader: Growth, root: str, scene: Scene) -> str:
    found = scene.holders.get(leader.name, ())
    paths = [(path, share) for path, share in found if share >= 0.1 and root_of(path) == root]
    if not paths:
        return root
    shown = [path if share > 0.995 else f"{path} ({100 * share:.0f} % of a sample)" for path, share in paths[:2]]
    return " and ".join(shown)


def _is_significant(incident: Incident, scene: Scene) -> bool:
    leader = incident.leader
    if leader.kind == "objects":
        return scene.rank(leader.name) < BUILTIN or matters(leader)
    enough = leader.per_request is None or leader.per_request >= _PATH_PER_REQUEST
    return enough or leader.amount > _PATH_PER_SNAPSHOT * leader.snapshots


def _is_heavy(incident: Incident, memory: Iterable[Growth], scene: Scene) -> bool:
    """Whether the few entries of a container, as they were weighed, are most of some memory that grows."""
    leader, place = incident.leader, scene.places.get(incident.leader.name)
    if place is None or place.entry_bytes is None:
        return False
    own = place.entry_bytes * leader.rate
    alike = (one for one in memory if one.kind in _OWN and (one.per_request is None) == (leader.per_request is None))
    return any(2 * own >= growth.rate * _unit(growth) for growth in alike)


def _unit(memory: Growth) -> float:
    """The bytes of one of what memory is counted in."""
    return _BLOCK_BYTES if memory.kind == "untracked" else 1.0


def _is_explained(growth: Growth, incidents: Sequence[Incident], scene: Scene) -> bool:
    """Whether known growths account for the growth of memory."""
    if growth.kind == "native" and any(i.leader.kind in {"untracked", "native"} for i in incidents):
        return True
    if growth.kind == "fragmentation":
        return False
    least = _BLOCKS_EACH * _BLOCK_BYTES if growth.kind == "untracked" else 0.0
    known = [
        max(least, _weight(member, scene)) * member.rate
        for incident in incidents
        if incident.leader.kind in {"objects", "container"}
        for member in (incident.leader, *incident.others)
        if (member.per_request is None) == (growth.per_request is None)
    ]
    return sum(known) >= _unit(growth) * growth.rate / 2


def _weight(member: Growth, scene: Scene) -> float:
    """The bytes that a growth explains: measured, else the most it can have."""
    place = scene.places.get(member.name)
    return _BYTES_EACH if place is None or place.entry_bytes is None else _AROUND * place.entry_bytes
