"""Count requests by route: adapters count, and the attribution of growth reads."""

from __future__ import annotations

from collections.abc import Mapping

from memprof_middleware.routes.slugs import Slugs

# Requests that no route of the host answers: one bucket, however many paths a scanner tries.
UNMATCHED = "<unmatched>"
# Requests of routes that have no name of their own, or have given it up.
OTHER = "<other>"
_BUCKETS = frozenset({UNMATCHED, OTHER})
# A path without a router, answered with an error, must come so often before it is a route.
_VISITS = 5
# What came before a review counts that much less after it: half after thirty, half an hour at the usual interval.
_FADING = 0.5 ** (1 / 30)
# A route takes the name of another one only if it is asked for so many times as often, or names would go to and fro.
_CLEARLY = 2.0


class Traffic:
    """The requests of one process, by route. Counting one takes two increments and no lock.

    Without a lock an increment could get lost only if another thread ran between its load and its store. CPython with
    the GIL switches threads at calls and at jumps backward, and there is none between the two, so the counts are
    exact; on a build without the GIL a few in a million may be lost, which no figure made of them would show.

    The names belong to the routes that are asked for most of late. While there is room, a route has its name at
    once. Later newcomers count as ``<other>`` and are counted in a table of limited size (Misra and Gries 1982), and
    :meth:`review` gives them the names of routes that hardly anybody asks for any more. Their counts end there:
    joined to ``<other>`` they would look like a burst of requests now. The total keeps them.

    Args:
        most_routes: how many routes are told apart.

    Attributes:
        started: requests that have begun. A host adds one before it hands a request on.
        failed: requests that raised an exception or were answered with 500 or more, as far as a host sees that at no
            cost. It adds one to it.
    """

    started: int
    failed: int

    def __init__(self, most_routes: int = 100) -> None:
        self._most = most_routes
        self.forget()

    def forget(self) -> None:
        """Reset. Called in the child after a fork."""
        self.started = self.failed = 0
        self._ended: dict[str, int] = {UNMATCHED: 0, OTHER: 0}
        self._given_up = 0  # requests of routes that have no name any more
        self._waiting: dict[str, float] = {}  # routes without a name: how often they came of late, at least
        self._slugs = Slugs()
        self._lately: dict[str, tuple[int, float]] = {}  # by name: the count at the last review, and of late

    def end(self, route: str) -> None:
        """Count a request whose response has ended.

        Args:
            route: method and template, as :func:`~memprof_middleware.routes.labels.label` writes them.
        """
        try:
            self._ended[route] += 1
        except KeyError:
            if not self._has_room():
                self._heard_of(route)
                route = OTHER
            self._count(route)

    def end_path(self, route: str) -> None:
        """Count a request that was answered well and whose route is nothing but its path: parts that name things fold.

        Args:
            route: method and path, ids folded.
        """
        if route in self._ended:
            self.end(route)
        else:
            self.end(self._slugs.learn(route))

    def end_unsure(self, route: str) -> None:
        """Count a request whose answer does not show that there is such a route: it must come some times first."""
        try:
            self._ended[route] += 1
        except KeyError:
            if self._heard_of(route) < _VISITS or not self._has_room():
                route = UNMATCHED
            self._count(route)

    def take_back(self) -> None:
        """Remove a request that had begun, as the profiler answered it itself."""
        self.started -= 1

    def knows(self, route: str) -> bool:
        """Whether a route has a name of its own."""
        return route in self._ended

    def read(self) -> tuple[dict[str, int], int]:
        """The requests ended so far, by route, and those in flight."""
        in_flight = self.in_flight
        ended = self._ended.copy()  # one step in C: no request ends in the middle of it
        return {route: number for route, number in ended.items() if number}, in_flight

    def review(self) -> None:
        """Give the names to the routes that are asked for most of late; for one thread, between two readings."""
        self._fold()
        self._lately = {
            route: (number, self._late(route, number))
            for route, number in self._ended.copy().items()
            if route not in _BUCKETS
        }
        waiting = {route: number for route, number in self._waiting.copy().items() if route not in self._lately}
        if not self._has_room():
            rare = sorted(self._lately, key=lambda route: self._lately[route][1])
            for newcomer, name in zip(sorted(waiting, key=lambda route: -waiting[route]), rare, strict=False):
                if waiting[newcomer] < max(_VISITS, _CLEARLY * self._lately[name][1]):
                    break
                self._lately[newcomer] = 0, waiting.pop(newcomer)
                self._replace(name, newcomer)
        self._waiting = {route: number * _FADING for route, number in waiting.items() if number > 0.5}

    @property
    def in_flight(self) -> int:
        """Requests that have begun and not ended."""
        return max(0, self.started - self.total)

    @property
    def total(self) -> int:
        """Requests ended."""
        return self._given_up + sum(self._ended.copy().values())

    def _has_room(self) -> bool:
        return len(self._ended) < self._most + len(_BUCKETS)

    def _count(self, route: str) -> None:
        # In one go, without a call: see the class.
        ended = self._ended
        if route not in ended:
            ended[route] = 0
        ended[route] += 1

    def _heard_of(self, route: str) -> float:
        """The recent requests of a route without a name, this one included."""
        number = self._waiting.get(route, 0.0) + 1
        if number > 1 or len(self._waiting) < self._most:
            self._waiting[route] = number
        else:
            self._waiting = {other: n - 1 for other, n in self._waiting.copy().items() if n > 1}
        return number

    def _late(self, route: str, number: int) -> float:
        before, late = self._lately.get(route, (0, 0.0))
        return late * _FADING + number - before

    def _fold(self) -> None:
        """End the names of paths of which a part has turned out to name a thing: they go on under the folded one."""
        for route in self._ended.copy():
            folded = route if route in _BUCKETS else self._slugs.fold(route)
            if folded != route:
                self._lately.pop(route, None)
                self._give_up(route)

    def _replace(self, name: str, newcomer: str) -> None:
        del self._lately[name]
        # The newcomer first, so that there is no room in between in which the old name could come back.
        self._ended.setdefault(newcomer, 0)
        self._give_up(name)

    def _give_up(self, name: str) -> None:
        # In one go, without a call, so that no request is lost or seen twice.
        ended = self._ended
        self._given_up += ended[name]
        del ended[name]


def ended_between(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """The requests by route that ended between two readings, with one review or none between them."""
    since = {route: number - before.get(route, 0) for route, number in after.items()}
    return {route: number for route, number in since.items() if number > 0}
