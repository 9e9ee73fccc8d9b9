"""What a leak is, in one sentence, and its amounts: the words that log, alerts, page and terminal share."""

from __future__ import annotations

from memprof_middleware.model import MB, Leak
from memprof_middleware.model.holders import NO_PATH
from memprof_middleware.text.subject import Subject
from memprof_middleware.text.things import Part, Sentence, one_thing, things
from memprof_middleware.text.words import percent, plural

# What is kept per request, where the estimate's ends are this close to it; wider ones are no figure.
_CLEAR = 2.0
_ONE = (0.9, 1.1)
_RARELY = 0.67
_LATEST_HOURS = 24 * 90.0
# Half a minute: less is no figure.
_LEAST_HOURS = 0.5 / 60
_TASK, _THREAD, _TIMER = "task ", "thread ", "timer "
# Of what is alive: what one of it does, and what several do.
_ENDS = {_TASK: ("never finishes", "never finish"), _THREAD: ("does not end", "do not end")}
# Not containers, but what the whole process has open.
_OPEN = {"open files": "Open files", "sockets": "Sockets"}
_IN_BYTES = frozenset({"native", "mapped", "fragmentation"})
_MEMORY = {
    "untracked": "Untracked data (bytes, strings, numbers)",
    "native": "Native memory",
    "mapped": "Mapped memory",
}


def plain(sentence: Sentence) -> str:
    """A sentence for a log line, where names are bare."""
    return "".join(part.text for part in sentence)


def headline(leak: Leak) -> Sentence:
    """What keeps what for which route, or as much of that as is known."""
    told = _headline(leak)
    return (*told, Part("; it follows the requests that fail")) if leak.failing else told


def _headline(leak: Leak) -> Sentence:
    found = Subject(leak)
    if found.is_of_requests:
        return _of_requests(leak, themselves=found.is_requests)
    if found.waited_for:
        return _of_waiters(leak, found.waited_for, themselves=found.is_waiters)
    for kind in (_TASK, _THREAD, _TIMER):
        if (leak.named or leak.name).startswith(kind):
            return _alive(leak, kind)
    if leak.name in _OPEN:
        return (Part(f"{_OPEN[leak.name]} are not closed: {from_to(leak)}"), *_fed(leak))
    if leak.kind == "objects":
        return _objects(leak)
    if leak.kind == "container":
        return _container(leak)
    if leak.kind == "fragmentation":
        return (Part(f"Freed memory is not given back: +{memory(leak.growth)}{within(leak)}. Nothing leaks"),)
    return _memory(leak)


def subject(leak: Leak) -> str:
    """The shortest name of a leak: its holder, else what grows."""
    return holder(leak) or leak.named or leak.name


def holder(leak: Leak) -> str:
    """The container or other place at the root of the retaining path; empty: not known."""
    if leak.kind == "container":
        return "" if leak.name in _OPEN or leak.name.startswith((_TASK, _THREAD, _TIMER)) else leak.name
    path = leak.path or leak.holder.partition(" (")[0].partition(" and ")[0]
    if path.startswith(NO_PATH):
        return ""
    return path.partition("[")[0].partition(".__traceback__")[0]


def amounts(leak: Leak) -> list[str]:
    """What it gains an hour, in things and in memory, as far as either is known: ``+1,920 an hour``."""
    in_memory = leak.bytes_per_hour or (leak.growth_per_hour if leak.kind in _IN_BYTES else 0.0)
    counted = [] if leak.kind in _IN_BYTES else [f"+{leak.growth_per_hour:,.0f} an hour"]
    return [*counted, f"+{memory(in_memory)} an hour"] if in_memory else counted


def growth(leak: Leak) -> str:
    """The same in one text: ``+1,920 an hour, +49 MiB an hour``."""
    return ", ".join(amounts(leak))


def watched(leak: Leak) -> str:
    """How much it grew in the time that the verdict rests on: ``150 to 400 in 6 min``."""
    return f"{from_to(leak)}{within(leak)}"


def from_to(leak: Leak) -> str:
    """How much it grew: ``50 MiB to 84 MiB``; ``by 47 MiB`` where what was there first is an estimate below nothing."""
    if leak.kind not in _IN_BYTES:
        return f"{leak.first:,} to {leak.last:,}"
    return f"by {memory(leak.last - leak.first)}" if leak.first < 0 else f"{memory(leak.first)} to {memory(leak.last)}"


def limit(hours: float | None, latest: float | None = None) -> str:
    """When the limit is reached: from the early to the late end of a forecast, else at the pace of a leak."""
    if hours is None:
        return "no memory limit is known"
    if hours <= 0:
        return "memory is above its limit"
    if hours > _LATEST_HOURS:
        return "memory limit not reached at this pace"
    if latest is not None:
        return f"memory limit in {' to '.join(dict.fromkeys(map(hours_in_words, (hours, latest))))}"
    about = "" if hours < _LEAST_HOURS else "about "
    return f"memory limit in {about}{hours_in_words(hours)} at this pace"


def hours_in_words(hours: float) -> str:
    """A time ahead, no finer than it is known: ``40 min``, ``1 h 50 min``, ``3.6 h``, ``31 h``, ``17 days``."""
    if hours < _LEAST_HOURS:
        return "less than a minute"
    minutes = round(60 * hours)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 120:
        return "1 h" if minutes == 60 else f"1 h {minutes - 60} min"
    if hours < 10:
        return f"{hours:.1f}".removesuffix(".0") + " h"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


def memory(size: float) -> str:
    """Bytes: ``80 bytes``, ``26 KiB``, ``3.4 MiB``, ``1.2 GiB``."""
    for unit, scale in (("GiB", 1024 * MB), ("MiB", MB), ("KiB", 1024)):
        if abs(size) >= scale:
            value = size / scale
            return (
                f"{value:,.0f} {unit}" if abs(value) >= 10 or round(value, 1) == int(value) else f"{value:.1f} {unit}"
            )
    return f"{size:.0f} bytes"


def per_request(leak: Leak) -> float | None:
    """What one request of the route keeps, where that is known well enough to be told."""
    found = leak.route_per_request
    return found.value if found is not None and found.value > 0 and found.high < _CLEAR * found.value else None


def spread(leak: Leak) -> str:
    """How little of the growth any one route feeds, where none feeds most of it; empty: one does, or nobody knows."""
    if leak.route or leak.route_share is None:
        return ""
    return f"no route feeds more than {percent(leak.route_share)} of it"


def rarely(value: float) -> str:
    """``about 1 in 5 requests``, of what fewer than two requests in three keep; empty: they keep it more often."""
    return f"about 1 in {max(2, round(1 / value)):,} requests" if 0 < value < _RARELY else ""


def _objects(leak: Leak) -> Sentence:
    by, route = holder(leak), leak.route
    if by and leak.pattern == "lru_method":
        return Part(by, code=True), Part(" keeps every "), *one_thing(leak), Part(" it was called on")
    if by and route:
        return Part(by, code=True), Part(" keeps "), *_each(leak)
    hourly = Part(f": +{leak.growth_per_hour:,.0f} an hour")
    if by:
        return Part(by, code=True), Part(" keeps more and more "), *things(leak), hourly
    if route:
        return Part(route, code=True), Part(" leaves "), *_behind(leak), Part("; holder not found")
    return *things(leak), Part(" are never freed"), hourly


def _container(leak: Leak) -> Sentence:
    name = Part(leak.name, code=True)
    if leak.route and per_request(leak) is not None:
        return name, Part(" keeps "), *_each(leak)
    return name, Part(f" only grows: {from_to(leak)} entries"), *_fed(leak)


def _memory(leak: Leak) -> Sentence:
    name, value = _MEMORY[leak.kind], per_request(leak)
    if leak.route and value is not None and leak.kind != "untracked":
        return Part(f"{name} grows: "), Part(leak.route, code=True), Part(f" keeps {memory(value)} per request")
    why = ": thread stacks, or maps of a C extension" if leak.kind == "mapped" else ""
    blocks = leak.kind == "untracked" and not leak.bytes_per_hour
    amount = f"{leak.growth_per_hour:,.0f} blocks" if blocks else memory(leak.bytes_per_hour or leak.growth_per_hour)
    return Part(f"{name} grows by {amount} an hour{why}"), *_fed(leak)


def _alive(leak: Leak, kind: str) -> Sentence:
    """Tasks, threads and timers that do not end."""
    name = Part((leak.named or leak.name).removeprefix(kind), code=True)
    starts = (Part("; "), Part(leak.route, code=True), Part(" starts them")) if leak.route else ()
    if kind == _TIMER:
        return Part("1 timer waits for " if leak.last == 1 else f"{leak.last:,} timers wait for "), name, *starts
    one, many = _ENDS[kind]
    rest = f" {kind}{one}" if leak.last == 1 else f" {plural(kind.strip())} {many}"
    return Part(f"{leak.last:,} "), name, Part(rest), *starts


def _of_requests(leak: Leak, *, themselves: bool) -> Sentence:
    """Requests that do not end, or what they keep."""
    who = (Part("Requests of "), Part(leak.route, code=True)) if leak.route else (Part("Requests"),)
    if themselves:
        return *who, Part(f" do not end: {from_to(leak)} in flight")
    return *who, Part(" that do not end keep "), *things(leak), Part(f": {from_to(leak)}")


def _of_waiters(leak: Leak, place: str, *, themselves: bool) -> Sentence:
    """Tasks that wait for a lock or the like, or what they keep."""
    if themselves:
        return Part("Tasks wait for "), Part(place, code=True), Part(f": {from_to(leak)}"), *_fed(leak)
    who = Part("Tasks that wait for "), Part(place, code=True), Part(" keep ")
    return *who, *things(leak), Part(f": {from_to(leak)}"), *_fed(leak)


def _each(leak: Leak) -> Sentence:
    """How many of something are kept for the requests of a route."""
    value, route = per_request(leak), Part(leak.route, code=True)
    if value is None:
        return *things(leak), Part(" of "), route
    if rare := rarely(value):
        return Part("one "), *one_thing(leak), Part(f" for {rare} of "), route
    return *_counted(leak, value), Part(" for each "), route


def _behind(leak: Leak) -> Sentence:
    value = per_request(leak)
    if value is None:
        return *things(leak), Part(" behind")
    if rare := rarely(value):
        return Part("one "), *one_thing(leak), Part(f" behind for {rare}")
    return *_counted(leak, value), Part(" behind per request")


def _counted(leak: Leak, value: float) -> Sentence:
    """So many of what leaks: ``one Session``, ``4 frames of app.handler``."""
    number = quantity(value)
    return Part(f"{number} "), *(one_thing(leak) if number == "one" else things(leak))


def quantity(value: float) -> str:
    """How many: ``one``, ``3``, ``about 1.4``."""
    if _ONE[0] <= value <= _ONE[1]:
        return "one"
    whole = round(value)
    return f"{whole:,}" if whole and abs(value - whole) <= 0.1 * value else f"about {value:.1f}"


def _fed(leak: Leak) -> Sentence:
    return (Part("; fed by "), Part(leak.route, code=True)) if leak.route else ()


def within(leak: Leak) -> str:
    """The time that the verdict rests on: `` in 6 min``; empty: not known."""
    seconds = leak.watched_seconds
    if not seconds:
        return ""
    return f" in {seconds:.0f} s" if seconds < 120 else f" in {hours_in_words(seconds / 3600)}"
