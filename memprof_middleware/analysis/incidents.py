"""What grows together is one incident: a leaked session with its dict, list and strings, led by what explains them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from memprof_middleware.analysis.growth import Growth

OUTSIDE = "held outside Python"
# Ranks of a name: whose it is.
_STANDARD, _BUILTIN = 2, 3
# How alike two growths must be to belong together: one is the other's multiple, or a part, of whole numbers up to 30.
_MULTIPLE, _ALIKE = 30, 0.08
# A holder explains a type if it holds so large a share of a sample; of builtins, whose sample is of all that use them,
# a larger one.
_SHARE, _BUILTIN_SHARE = 0.3, 0.6
_FAR = 1000
# Growth of builtins or of a mere container that is slower than this is bookkeeping: ours, a server's, a logger's.
_BUILTIN_PER_REQUEST, _BUILTIN_PER_SNAPSHOT = 0.05, 4.0
_PATH_PER_REQUEST, _PATH_PER_SNAPSHOT = 0.02, 2.0
# One leaked object or entry explains so many blocks and bytes.
_BLOCKS_EACH, _BYTES_EACH = 60.0, 65_536.0


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A container, or another population, as it was measured last.

    Attributes:
        path: its name.
        bound: the most entries that it takes, where it says so.
        holds: the types of its newest entries and of what these hold.
    """

    path: str
    bound: int | None = None
    holds: Collection[str] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """What is known of the surroundings of what grows.

    Attributes:
        holders: for a type, the paths to a sample of its instances, with the share of each, the largest first.
        places: containers by path.
        rank: of a name: 0 the application's, 1 a library's, 2 the standard library's, 3 builtin.
        module: the module that a name begins with.
    """

    holders: Mapping[str, Sequence[tuple[str, float]]]
    places: Mapping[str, Place]
    rank: Callable[[str], int]
    module: Callable[[str], str]


@dataclasses.dataclass(frozen=True, slots=True)
class Incident:
    """Growths that belong together.

    Attributes:
        leader: what explains the others.
        others: what grows with it, the most telling first.
        root: the container or other place that holds it; empty: not known.
        holder: the same for people, with the share of a sample that it explains.
        bound: the most that the container takes, where it says so.
    """

    leader: Growth
    others: tuple[Growth, ...]
    root: str = ""
    holder: str = ""
    bound: int | None = None

    @property
    def names(self) -> set[str]:
        """Of all that grows in it."""
        return {self.leader.name, *(growth.name for growth in self.others)}


def root_of(path: str) -> str:
    """The container at the beginning of a path: ``shop.cart.SESSIONS`` of ``shop.cart.SESSIONS[*].user``."""
    return path.partition("[")[0].partition(".__traceback__")[0]


def to_search(growths: Iterable[Growth], rank: Callable[[str], int], most: int = 8) -> list[str]:
    """The types whose holders are worth looking for: those that say most, and two builtins."""
    types = sorted(_types(growths), key=lambda growth: (rank(growth.name), -growth.amount))
    telling = [growth.name for growth in types if rank(growth.name) < _BUILTIN]
    builtins = [growth.name for growth in types if rank(growth.name) == _BUILTIN and _matters(growth)]
    return telling[: most - 2] + builtins[: most - len(telling[: most - 2])]


def find_incidents(growths: Sequence[Growth], scene: Scene) -> list[Incident]:
    """The incidents, those of objects first, then containers, then memory that neither explains."""
    groups = _by_root(list(_types(growths)), scene)
    _attach_paths(groups, [growth for growth in growths if growth.kind == "container"], scene)
    shadows = _take_shadows(groups, scene)
    grouped = [_incident(root, members, shadows.get(root, []), scene) for root, members in groups.items()]
    unbound = [incident for incident in grouped if incident.bound is None]
    found = [incident for incident in unbound if _is_significant(incident, scene)]
    slow = [i for i in unbound if i not in found and i.leader.kind == "container" and not scene.rank(i.leader.name)]
    for growth in growths:
        if growth.kind in {"untracked", "native", "fragmentation"} and not _is_explained(growth, found):
            found.append(_of_memory(growth, slow))
    return found


def _of_memory(growth: Growth, slow: Sequence[Incident]) -> Incident:
    """Memory that nothing explains: a container of the application, however slowly it grows, may hold large things."""
    holder = max(slow, key=lambda incident: (incident.leader.steadiness, incident.leader.amount), default=None)
    if holder is None or growth.kind == "fragmentation":
        return Incident(growth, (), holder=OUTSIDE if growth.kind != "fragmentation" else "")
    return dataclasses.replace(holder, others=(*holder.others, growth))


def _types(growths: Iterable[Growth]) -> Iterable[Growth]:
    return (growth for growth in growths if growth.kind == "objects")


def _matters(growth: Growth) -> bool:
    """Whether builtins grow by more than bookkeeping does."""
    enough = growth.per_request is None or growth.per_request >= _BUILTIN_PER_REQUEST
    return enough and growth.amount >= _BUILTIN_PER_SNAPSHOT * growth.snapshots


def _by_root(types: Sequence[Growth], scene: Scene) -> dict[str, list[Growth]]:
    """Types by what holds them; those of unknown holder with what grows as they do."""
    groups: dict[str, list[Growth]] = {}
    unknown: list[Growth] = []
    for growth in sorted(types, key=lambda growth: (scene.rank(growth.name), -growth.amount)):
        least = _BUILTIN_SHARE if scene.rank(growth.name) == _BUILTIN else _SHARE
        paths = [path for path, share in scene.holders.get(growth.name, ()) if share >= least]
        if paths:
            groups.setdefault(root_of(paths[0]), []).append(growth)
        else:
            unknown.append(growth)
    for growth in unknown:
        home = next((root for root, group in groups.items() if _belongs(growth, root, group, scene)), None)
        if home is None and scene.rank(growth.name) == _BUILTIN and groups:
            home = max(groups, key=lambda root: sum(member.amount for member in groups[root]))
        groups.setdefault("?" + growth.name if home is None else home, []).append(growth)
    return groups


def _belongs(growth: Growth, root: str, group: Sequence[Growth], scene: Scene) -> bool:
    held = {name for path, place in scene.places.items() if root_of(path) == root for name in place.holds}
    return growth.name in held or _any_alike([growth], group)


def _alike(a: Growth, b: Growth) -> bool:
    """Whether one growth is a multiple of the other."""
    if (a.per_request is None) != (b.per_request is None) or not a.rate or not b.rate:
        return False
    ratio = max(a.rate, b.rate) / min(a.rate, b.rate)
    return ratio <= _MULTIPLE and abs(ratio - round(ratio)) <= _ALIKE


def _attach_paths(groups: dict[str, list[Growth]], paths: Sequence[Growth], scene: Scene) -> None:
    """Give each container that grows to the types it holds, or make it a group of its own."""
    for growth in sorted(paths, key=lambda growth: (len(growth.name), growth.name)):
        root = root_of(growth.name)
        place = scene.places.get(growth.name)
        if root not in groups:
            root = next(
                (
                    other
                    for other, members in groups.items()
                    if place is not None
                    and (other.startswith("?") or other == OUTSIDE)
                    and any(member.name in place.holds and _comparable(growth, member) for member in members)
                ),
                root,
            )
            if root != root_of(growth.name):
                groups[root_of(growth.name)] = groups.pop(root)
                root = root_of(growth.name)
        groups.setdefault(root, []).append(growth)


def _take_shadows(groups: dict[str, list[Growth]], scene: Scene) -> dict[str, list[Growth]]:
    """Take out what only mirrors another group: asyncio's own set of tasks, the weak references to them."""
    shadows: dict[str, list[Growth]] = {}
    ranked = sorted(groups, key=lambda root: min(scene.rank(growth.name) for growth in groups[root]))
    for index, root in enumerate(ranked):
        telling = any(scene.rank(growth.name) < _STANDARD for growth in groups[root])
        for home in ranked[:index]:
            # Two containers of one object, not of one module.
            owner = root.rpartition(".")[0]
            near = owner == home.rpartition(".")[0] and owner != scene.module(root)
            if home in groups and (near or not telling) and _any_alike(groups[root], groups[home]):
                shadows.setdefault(home, []).extend(groups.pop(root))
                break
    return shadows


def _any_alike(some: Iterable[Growth], others: Collection[Growth]) -> bool:
    return any(_alike(growth, other) for growth in some for other in others)


def _comparable(a: Growth, b: Growth) -> bool:
    low, high = sorted((a.rate, b.rate))
    return (a.per_request is None) == (b.per_request is None) and low >= 0.2 * high


def _incident(root: str, members: Sequence[Growth], shadows: Sequence[Growth], scene: Scene) -> Incident:
    types = [growth for growth in members if growth.kind == "objects"]
    telling = [growth for growth in types if scene.rank(growth.name) < _BUILTIN or _matters(growth)]
    paths = [growth for growth in members if growth.kind == "container"]
    leader = min(telling, key=lambda growth: _order(growth, scene)) if telling else _widest(paths or types)
    rest = [growth for growth in members if growth is not leader]
    others = [*sorted(rest, key=lambda growth: _order(growth, scene)), *shadows]
    known = "" if root.startswith("?") else root
    bounds = [place.bound for path, place in scene.places.items() if root_of(path) == known and place.bound]
    return Incident(leader, tuple(others), known, _holder(leader, known, scene), max(bounds) if bounds else None)


def _order(growth: Growth, scene: Scene) -> tuple[int, int, float]:
    """The application's own types first, then what is nearest to the root, then the most numerous."""
    paths = scene.holders.get(growth.name, ())
    path = paths[0][0] if paths else ""
    # A way of which a part is left out is long, as is one that is not known.
    steps = path.count(".") + 2 * path.count("[") if path and "…" not in path else _FAR
    return scene.rank(growth.name), steps, -growth.amount


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
        return scene.rank(leader.name) < _BUILTIN or _matters(leader)
    enough = leader.per_request is None or leader.per_request >= _PATH_PER_REQUEST
    return enough or leader.amount > _PATH_PER_SNAPSHOT * leader.snapshots


def _is_explained(growth: Growth, incidents: Sequence[Incident]) -> bool:
    """Whether what is known to grow accounts for the growth of memory."""
    if growth.kind in {"native", "fragmentation"} and any(i.leader.kind in {"untracked", "native"} for i in incidents):
        return True
    each = _BLOCKS_EACH if growth.kind == "untracked" else _BYTES_EACH
    members = [
        member
        for incident in incidents
        if incident.leader.kind in {"objects", "container"}
        for member in (incident.leader, *incident.others)
        if (member.per_request is None) == (growth.per_request is None)
    ]
    return each * sum(member.rate for member in members) >= growth.rate / 2
