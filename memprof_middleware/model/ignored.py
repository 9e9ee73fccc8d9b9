"""What people decided about incidents: ignored for good, or acknowledged until the urgency rises."""

from __future__ import annotations

import re
import typing

from memprof_middleware.model.clean import clean
from memprof_middleware.model.codec import Moment, Value
from memprof_middleware.model.leak import Leak
from memprof_middleware.model.urgency import Urgency
from memprof_middleware.model.value import valueclass

Decider = typing.Literal["setting", "page"]
LONGEST = 200
_TYPE, _ROUTE = "type:", "route:"
_KIND = re.compile(r"[a-z]+:")
_ROUTE_NAME = re.compile(r"[A-Z]+ \S.*|<other>")


@valueclass(frozen=True, kw_only=True, slots=True)
class Ignored(Value):
    """Something that is not reported: a holder, a type or a route.

    Attributes:
        item: ``shop.geo.CITIES``, ``type:shop.Row`` or ``route:GET /healthz``.
        reason: why, for people; may be empty.
        by: who decided it: the ``setting``, or somebody on the ``page``.
        since: when, on the page; ``None``: with the start.
        run: the run of the server that it ends with; empty: for good.
        leaks: the leaks that are not reported because of it.
    """

    item: str
    reason: str = ""
    by: Decider = "setting"
    since: Moment | None = None
    run: str = ""
    leaks: tuple[Leak, ...] = ()

    def covers(self, leak: Leak) -> bool:
        """Whether a leak is ignored because of it."""
        if self.item.startswith(_TYPE):
            return leak.kind == "objects" and leak.name == self.item.removeprefix(_TYPE)
        if self.item.startswith(_ROUTE):
            return leak.route == self.item.removeprefix(_ROUTE)
        return any(_is_at(self.item, place) for place in (leak.path, leak.holder, leak.name))

    def covers_route(self, route: str) -> bool:
        """Whether a route is ignored because of it."""
        return self.item == _ROUTE + route


@valueclass(frozen=True, kw_only=True, slots=True)
class Acknowledged(Value):
    """An incident that somebody knows of.

    Attributes:
        incident: its name, as in :attr:`Alert.incident <memprof_middleware.Alert.incident>`.
        urgency: its urgency then; it is reported again when that rises.
        since: when.
    """

    incident: str
    urgency: Urgency = "none"
    since: Moment


def ignored_item(text: str) -> Ignored:
    """An item of the setting ``ignore``: what, and after `` = `` the reason.

    Raises:
        ValueError: it is none; the message says what is wrong.
    """
    item, _, reason = (part.strip() for part in text.partition(" = "))
    if not item or item.startswith("=") or len(item) > LONGEST or not item.isprintable():
        raise ValueError(f"this names nothing, has a control character, or is longer than {LONGEST} characters")
    if item.startswith(_ROUTE):
        if not _ROUTE_NAME.fullmatch(item.removeprefix(_ROUTE)):
            raise ValueError("this is not a route: write its method and template")
    elif item.startswith(_TYPE):
        if " " in item or not item.removeprefix(_TYPE):
            raise ValueError("this is not a type: write its module and name")
    elif _KIND.match(item):
        raise ValueError("neither 'type:' nor 'route:' is in front")
    return Ignored(item=item, reason=clean(reason, LONGEST))


def _is_at(item: str, place: str) -> bool:
    """Whether a path begins at a holder: ``shop.CITIES``, ``shop.CITIES[*].name``."""
    return place.startswith(item) and place[len(item) : len(item) + 1] in {"", "[", ".", " "}
