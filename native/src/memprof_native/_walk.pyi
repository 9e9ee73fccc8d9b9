from collections.abc import Iterator, Sequence
from typing import Any, final

@final
class Walk:
    """One walk through all objects that the collector tracks, the frozen ones included.

    Nothing but addresses, names and numbers is given out; an object may be gone by the time its address is read.

    Args:
        minimum: note the length of each dict, list, set, deque and bytearray that has at least so many entries; 0: of
            none.
        deep: look at what the objects refer to as well, for containers that the collector does not track: dicts of
            plain values (up to 3.13) and bytearrays. A slice then lasts at least as long as its largest object.
        targets: addresses of objects whose referrers are looked for.
        most: so many containers, and so many references to the targets, are noted at most. Where there are more
            containers, ``minimum`` is doubled.

    Raises:
        ValueError: a number is out of range.
    """

    def __new__(
        cls, *, minimum: int = 0, deep: bool = False, targets: Sequence[int] = ..., most: int = 50_000
    ) -> Walk: ...
    @property
    def minimum(self) -> int:
        """Containers shorter than this were left out."""
    @property
    def restarts(self) -> int:
        """How often it had to begin again, since a collection or a freeze had turned the list over."""
    def step(self, objects: int = 0, seconds: float = 0.0) -> bool:
        """Count one slice, in which no other thread runs.

        Args:
            objects: how many at most; 0: all in one go.
            seconds: stop earlier after so much processor time; 0: no limit.

        Returns:
            Whether all is counted.

        Raises:
            RuntimeError: the collector's lists are not as expected, or the walk was given up.
        """
    def classes(self) -> Iterator[tuple[int, str, int, int]]:
        """Of each class its address, its name, and how many instances are live and how many frozen.

        The name is ``module.QualName``, with ``?`` for a part that is no plain text, as it is: it may hold anything.
        Classes of one name come one by one.
        """
    def containers(self) -> bytes:
        """Of each long container its address, the address of its class, and its length, by address: ``QQQ``."""
    def referrers(self) -> list[tuple[int, int, str]]:
        """Of each reference to a target: address of the referrer, of the target, and the name of the former's class."""
    def close(self) -> None:
        """Give up; nothing is left in the collector's lists. May be called again."""

def check(most: int, /) -> str | None:
    """Say why the collector's lists cannot be walked here; ``None``: they can.

    Lists of at most ``most`` objects are compared with ``gc.get_objects()``, object by object, which writes reference
    counts: few in a forked process.
    """

def newest(kind: int, most: int, within: int, /) -> list[Any]:
    """Instances of the class at an address, the newest first; tuples are left out, which may be in the making.

    References are given out here, and only here.

    Args:
        kind: the class, by its address.
        most: how many.
        within: look at so many objects.
    """

def key_of(space: dict[Any, Any], address: int, /) -> Any:
    """The key under which a dict holds the object at an address; ``None``: it does not. No other value is touched."""

def drop_inherited() -> int:
    """Give up walks that were under way when this process was forked; returns how many."""
