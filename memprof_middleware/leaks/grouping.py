"""Group growth by holder: types with their container, without groups that mirror another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from memprof_middleware.leaks.growth import Growth
from memprof_middleware.leaks.room import Room
from memprof_middleware.model.holders import HELD_NATIVE, HIDDEN, NO_PATH
from memprof_middleware.model.value import valueclass
from memprof_middleware.text.subject import MUTE

_FRAME, _TRACEBACK = "builtins.frame", "builtins.traceback"
# Populations that are named by what they run.
RUNNING = ("task ", "thread ")
# What runs, by the words for it: of one task there may be several coroutines, each waiting for the next.
_RUN = {"task": 0.5, "coroutine": 0.25}
# Ranks of a name: whose it is.
LIBRARY, STANDARD, BUILTIN = 1, 2, 3
# A holder explains a type if it holds so large a share of a sample; of builtins, whose sample is of all that use them,
# a larger one.
_SHARE, _BUILTIN_SHARE = 0.3, 0.6
# Growth of builtins that is slower than this is bookkeeping: ours, a server's, a logger's.
_BUILTIN_PER_REQUEST, _BUILTIN_PER_SNAPSHOT = 0.05, 4.0


@valueclass(frozen=True, slots=True)
class Place:
    """A container, or another population, as it was measured last.

    Attributes:
        path: its name.
        bound: the most entries that it takes, where it says so.
        holds: the types of its newest entries and of what these hold.
        entry_bytes: what one of its newest entries weighs; ``None``: not known.
    """

    path: str
    bound: int | None = None
    holds: Collection[str] = ()
    entry_bytes: float | None = None


@valueclass(frozen=True, slots=True)
class Scene:
    """The surroundings of growth: containers, holders and samples.

    Attributes:
        holders: for a type, the paths to a sample of its instances, with the share of each, the largest first.
        places: containers by path.
        rank: of a name: 0 the application's, 1 a library's, 2 the standard library's, 3 builtin.
        module: the module that a name begins with.
        in_step: whether two series, by name, rise and fall together at every look; that their ratio is a round
            number says nothing.
        complete: all that the program keeps was looked at, from all roots.
        named: what types of the interpreter stand for: frames by their function.
        room: of the process; ``None``: not known yet.
    """

    holders: Mapping[str, Sequence[tuple[str, float]]]
    places: Mapping[str, Place]
    rank: Callable[[str], int]
    module: Callable[[str], str]
    in_step: Callable[[str, str], bool] = lambda _a, _b: False
    complete: bool = True
    named: Mapping[str, str] = dataclasses.field(default_factory=dict)
    room: Room | None = None

    def bound(self, place: Place) -> int | None:
        """The most entries that a place takes, by its own word and before memory runs out: a billion is no bound."""
        if place.bound is None or self.room is None or self.room.holds(place.bound * (place.entry_bytes or 0.0)):
            return place.bound
        return None


def root_of(path: str) -> str:
    """The container at the beginning of a path: ``shop.cart.SESSIONS`` of ``shop.cart.SESSIONS[*].user``."""
    return path.partition("[")[0].partition(".__traceback__")[0]


def package_of(module: str) -> str:
    """The package that a module belongs to: ``openai`` of ``openai.resources.chat``."""
    return module.partition(".")[0]


def depth_in_package(name: str) -> int:
    """How deep in its package a type is: what users of a library make is near to the top."""
    return name.count(".")


def group(growths: Sequence[Growth], scene: Scene) -> tuple[dict[str, list[Growth]], dict[str, list[Growth]]]:
    """Types and containers by root, and the mirrors of some roots. An unknown root begins with ``?``."""
    groups = _by_root(list(types_in(growths)), scene)
    _attach_paths(groups, [growth for growth in growths if growth.kind == "container"], scene)
    return groups, _take_shadows(groups, scene)


def telling_rank(name: str, scene: Scene) -> float:
    """The rank of a name, the most telling first: classes made at run time explain the parts that they are made of.

    So do frames that C code has lost: their variables hold the rest, and they name the function. Tasks whose coroutine
    is known say more than what asyncio makes for each of them.
    """
    if name == "builtins.type":
        return STANDARD - 0.5
    if name in scene.named and MUTE.get(name) in _RUN:
        return STANDARD - _RUN[MUTE[name]]
    if name == _FRAME and _are_lost(scene):
        return LIBRARY - 0.5
    return BUILTIN if name in MUTE else scene.rank(name)


def _are_lost(scene: Scene) -> bool:
    """Whether nothing in Python holds the frames that grow, and their function is known; not those of a traceback."""
    holder = next((path for path, _ in scene.holders.get(_FRAME, ())), "")
    return holder == HELD_NATIVE and _FRAME in scene.named and _TRACEBACK not in scene.holders


def types_in(growths: Iterable[Growth]) -> Iterable[Growth]:
    """The growths of objects by type."""
    return (growth for growth in growths if growth.kind == "objects")


def matters(growth: Growth) -> bool:
    """Whether builtins grow by more than bookkeeping does."""
    enough = growth.per_request is None or growth.per_request >= _BUILTIN_PER_REQUEST
    return enough and growth.amount >= _BUILTIN_PER_SNAPSHOT * growth.snapshots


def _by_root(types: Sequence[Growth], scene: Scene) -> dict[str, list[Growth]]:
    """Types by holder; those of unknown holder with others that grow in step."""
    groups: dict[str, list[Growth]] = {}
    unknown: list[Growth] = []
    for growth in sorted(types, key=lambda growth: (scene.rank(growth.name), -growth.amount)):
        least = _BUILTIN_SHARE if scene.rank(growth.name) == BUILTIN else _SHARE
        paths = [path for path, share in scene.holders.get(growth.name, ()) if share >= least]
        paths.sort(key=lambda path: path.startswith(NO_PATH))
        if paths:
            groups.setdefault(root_of(paths[0]), []).append(growth)
        else:
            unknown.append(growth)
    for growth in unknown:
        home = next((root for root, group in groups.items() if _belongs(growth, root, group, scene)), None)
        if home is None and scene.rank(growth.name) == BUILTIN and groups:
            home = max(groups, key=lambda root: sum(member.amount for member in groups[root]))
        groups.setdefault("?" + growth.name if home is None else home, []).append(growth)
    return groups


def _belongs(growth: Growth, root: str, group: Sequence[Growth], scene: Scene) -> bool:
    held = {name for path, place in scene.places.items() if root_of(path) == root for name in place.holds}
    kept = not root.startswith(("?", *NO_PATH))
    return growth.name in held or any(_is_kin(growth, member, scene, kept=kept) for member in group)


def _is_kin(growth: Growth, member: Growth, scene: Scene, *, kept: bool) -> bool:
    """Whether two types grow in step, and may have one cause.

    One of them says nothing, or both are of one package; or the first is a library's, as the parts are of what is known
    to be kept: a client of one library has the addresses of another one.
    """
    says_nothing = BUILTIN in {scene.rank(growth.name), scene.rank(member.name)}
    near = says_nothing or package_of(scene.module(growth.name)) == package_of(scene.module(member.name))
    part = kept and scene.rank(growth.name) == LIBRARY
    return (near or part) and scene.in_step(growth.name, member.name)


def _attach_paths(groups: dict[str, list[Growth]], paths: Sequence[Growth], scene: Scene) -> None:
    """Give each container that grows to the types it holds, or make it a group of its own."""
    for growth in sorted(paths, key=lambda growth: (len(growth.name), growth.name)):
        root = _run_by(growth.name, groups, scene) or root_of(growth.name)
        place = scene.places.get(growth.name)
        if root not in groups:
            root = next(
                (
                    other
                    for other, members in groups.items()
                    if place is not None
                    # gc.freeze() hides the holder; a container that grows alike may name it.
                    and (other.startswith("?") or other in {HELD_NATIVE, HIDDEN})
                    and any(member.name in place.holds and _comparable(growth, member) for member in members)
                ),
                root,
            )
            if root != root_of(growth.name):
                groups[root_of(growth.name)] = groups.pop(root)
                root = root_of(growth.name)
        groups.setdefault(root, []).append(growth)


def _run_by(name: str, groups: Mapping[str, Sequence[Growth]], scene: Scene) -> str:
    """The group that is kept through what a population of tasks or threads runs; empty: none, or no population."""
    if not name.startswith(RUNNING):
        return ""
    return next((root for root, members in groups.items() if _any_through(name, members, scene)), "")


def _any_through(name: str, members: Iterable[Growth], scene: Scene) -> bool:
    """Whether a good part of a type's sample is kept by the tasks or threads of a name."""
    paths = [path for member in members for path, share in scene.holders.get(member.name, ()) if share >= _SHARE]
    step = f"<{name.partition(' ')[2]}>"
    return any(step in path or path.startswith((f"{name}.", f"{name}[")) for path in paths)


def _take_shadows(groups: dict[str, list[Growth]], scene: Scene) -> dict[str, list[Growth]]:
    """Remove groups that mirror another one: asyncio's own set of tasks, the weak references to them."""
    shadows: dict[str, list[Growth]] = {}
    ranked = sorted(groups, key=lambda root: min(telling_rank(growth.name, scene) for growth in groups[root]))
    for index, root in enumerate(ranked):
        telling = any(scene.rank(growth.name) < STANDARD for growth in groups[root])
        for home in ranked[:index]:
            # Two containers of one object, not of one module.
            owner = root.rpartition(".")[0]
            near = owner == home.rpartition(".")[0] and owner != scene.module(root)
            if home in groups and (near or not telling) and _any_in_step(groups[root], groups[home], scene):
                shadows.setdefault(home, []).extend(groups.pop(root))
                break
    return shadows


def _any_in_step(some: Iterable[Growth], others: Collection[Growth], scene: Scene) -> bool:
    return any(scene.in_step(growth.name, other.name) for growth in some for other in others)


def _comparable(a: Growth, b: Growth) -> bool:
    low, high = sorted((a.rate, b.rate))
    return (a.per_request is None) == (b.per_request is None) and low >= 0.2 * high
