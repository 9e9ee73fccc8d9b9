"""What grows together is one incident, led by what explains it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest

from memprof_middleware.leaks.grouping import Place, Scene, root_of
from memprof_middleware.leaks.growth import Growth
from memprof_middleware.leaks.incidents import Incident, find_incidents, to_search
from memprof_middleware.leaks.room import Room
from memprof_middleware.leaks.telling import first_told
from memprof_middleware.model import MB, Leak, LeakKind, LeakState
from memprof_middleware.model.holders import HELD_NATIVE, UNHELD


def growth(name: str, rate: float = 1.0, kind: LeakKind = "objects", first: float = 10) -> Growth:
    return Growth(
        name=name,
        kind=kind,
        first=first,
        last=first + 4000 * rate,
        since=0.0,
        snapshots=20,
        served=4000.0,
        per_request=rate,
        per_hour=4000 * rate,
        steadiness=1.0,
        pace=1.0,
        collections=3,
    )


def module(name: str) -> str:
    return name.partition(".")[0]


def rank(name: str) -> int:
    return {"app": 0, "shop": 0, "builtins": 3, "asyncio": 2, "weakref": 2, "_asyncio": 2, "_contextvars": 2}.get(
        module(name), 1
    )


def scene(
    holders: Mapping[str, str] | None = None,
    places: Sequence[Place] = (),
    *,
    in_step: bool = False,
    complete: bool = True,
) -> Scene:
    held = {name: [(path, 1.0)] for name, path in (holders or {}).items()}
    return Scene(held, {place.path: place for place in places}, rank, module, lambda _a, _b: in_step, complete)


def names(growths: Sequence[Growth], around: Scene) -> list[tuple[str, str]]:
    return [(incident.leader.name, incident.holder) for incident in find_incidents(growths, around)]


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("shop.cart.SESSIONS[*].user", "shop.cart.SESSIONS"),
        ("app.INDEX", "app.INDEX"),
        ("app.UNAUTHORIZED.__traceback__.tb_frame.request", "app.UNAUTHORIZED"),
        (HELD_NATIVE, HELD_NATIVE),
    ],
)
def test_roots(path: str, root: str) -> None:
    """A path begins with the container, or with the exception that keeps a chain."""
    assert root_of(path) == root


def test_a_session_with_its_parts_is_one_incident() -> None:
    """The application's type leads, its dict, list and string table come along, and the path says who holds it."""
    growths = [
        growth("builtins.dict", 2),
        growth("builtins.list"),
        growth("shop.Session"),
        growth("shop.SESSIONS", 1, "container"),
    ]
    around = scene({"shop.Session": "shop.SESSIONS[*]", "builtins.dict": "shop.SESSIONS[*].data"})
    [incident] = find_incidents(growths, around)
    assert (incident.leader.name, incident.root, incident.holder) == (
        "shop.Session",
        "shop.SESSIONS",
        "shop.SESSIONS[*]",
    )
    assert incident.names == {"shop.Session", "shop.SESSIONS", "builtins.dict", "builtins.list"}


def test_a_librarys_parts_of_what_is_kept_are_no_incident_of_their_own() -> None:
    """A client that a cache keeps has an address of another library: one for one, and no path of its own is known."""
    growths = [growth("openai.AsyncOpenAI"), growth("httpx.URL")]
    kept = {"openai.AsyncOpenAI": "openai.headers[*][*]"}
    assert names(growths, scene(kept, in_step=True)) == [("openai.AsyncOpenAI", "openai.headers[*][*]")]
    assert len(names(growths, scene(kept))) == 2, "at another pace it has another cause"
    assert len(names(growths, scene({**kept, "httpx.URL": "httpx.SEEN[*]"}, in_step=True))) == 2, "its holder is known"
    own = [growth("openai.AsyncOpenAI"), growth("shop.Order")]
    assert len(names(own, scene(kept, in_step=True))) == 2, "the application's own are looked for by themselves"


LOST = {"builtins.frame": HELD_NATIVE, "io.BytesIO": HELD_NATIVE}


@pytest.mark.parametrize(
    ("holders", "known", "leader"),
    [
        (LOST, {"builtins.frame": "frame of packer.Unpacker.unpack"}, "builtins.frame"),
        (LOST, {}, "io.BytesIO"),
        ({**LOST, "builtins.traceback": HELD_NATIVE}, {"builtins.frame": "frame of app.view"}, "io.BytesIO"),
        ({"builtins.frame": "app.X[*]", "io.BytesIO": "app.X[*]"}, {"builtins.frame": "frame of app.f"}, "io.BytesIO"),
    ],
    ids=["lost", "of no known function", "of a traceback", "held in Python"],
)
def test_frames_that_c_code_has_lost_lead_what_they_hold(
    holders: dict[str, str], known: dict[str, str], leader: str
) -> None:
    """Their variables hold the rest, and they name the function that lost them; a traceback says more than both."""
    around = dataclasses.replace(scene(holders, in_step=True), named=known)
    growths = [growth("io.BytesIO"), growth("builtins.frame", 2)]
    assert names(growths, around)[0][0] == leader


def test_two_holders_are_two_incidents() -> None:
    """What different containers hold is not mixed up, however alike it grows."""
    around = scene({"shop.Session": "shop.SESSIONS[*]", "shop.Job": "shop.JOBS[*]"})
    assert sorted(names([growth("shop.Session"), growth("shop.Job")], around)) == [
        ("shop.Job", "shop.JOBS[*]"),
        ("shop.Session", "shop.SESSIONS[*]"),
    ]


def test_the_nearest_library_type_leads() -> None:
    """Among types of libraries the one that is nearest to the root leads, not the most numerous."""
    around = scene(
        {
            "aiohttp.SystemRoute": "aiohttp.app._build[*][*].__self__",
            "aiohttp.Request": "aiohttp.app._build[*][*].__self__._exception.__traceback__.tb_frame.request",
            "multidict.CIMultiDict": "aiohttp.app._build[*][*].__self__._exception.__traceback__.tb_frame.headers",
        }
    )
    growths = [growth("multidict.CIMultiDict", 2), growth("aiohttp.Request"), growth("aiohttp.SystemRoute")]
    assert names(growths, around)[0][0] == "aiohttp.SystemRoute"


def test_of_what_a_library_keeps_for_an_object_the_object_leads() -> None:
    """Nobody knows who holds them, and they rise and fall together: one incident, named by what the program made."""
    growths = [
        growth("openai.resources.beta.Files", 5),
        growth("openai.AsyncOpenAI"),
        growth("openai.resources.Chat", 3),
    ]
    assert names(growths, scene(in_step=True)) == [("openai.AsyncOpenAI", "")]


def test_a_container_of_bytes_is_its_own_incident() -> None:
    """Nothing that the collector tracks grows: the container's path is the culprit."""
    assert names([growth("app.THUMBS", 1, "container")], scene()) == [("app.THUMBS", "app.THUMBS")]


def test_the_outer_container_is_named() -> None:
    """Of a dict and of what lies in it, the dict is named if it grows by a good part of that."""
    inner = [growth("app.INDEX", 0.5, "container"), growth("app.INDEX[*]", 1, "container")]
    assert names(inner, scene())[0][0] == "app.INDEX"
    few_keys = [growth("app.INDEX", 0.05, "container"), growth("app.INDEX[*]", 1, "container")]
    assert names(few_keys, scene())[0][0] == "app.INDEX[*]"


def test_builtins_are_held_by_the_container_that_grows_with_them() -> None:
    """A sample of all lists of a program says little; the container whose newest entries they are says it."""
    around = scene({}, [Place("app.INDEX", None, ("builtins.list", "builtins.tuple"))])
    growths = [growth("builtins.list", 1.5), growth("builtins.tuple"), growth("app.INDEX", 1, "container")]
    [incident] = find_incidents(growths, around)
    assert (incident.leader.name, incident.holder) == ("builtins.list", "app.INDEX")


def test_a_cache_with_a_bound_is_no_incident() -> None:
    """What fills a container up to a bound that it names is not a leak; without one it may be."""
    for bound, expected in ((500, []), (None, ["shop.Product"])):
        around = scene({"shop.Product": "shop.CACHE[*]"}, [Place("shop.CACHE", bound, ("shop.Product",))])
        assert [found.leader.name for found in find_incidents([growth("shop.Product")], around)] == expected


@pytest.mark.parametrize(
    ("bound", "each", "left", "leads"),
    [
        (2_000, 40_000.0, 100 * MB, False),  # 80 MB: there is room for them
        (2_000, 80_000.0, 100 * MB, True),
        (10**10, 300.0, 900 * MB, True),  # as many as nobody ever has
        (10**10, None, 900 * MB, False),  # nobody has weighed it
        (10**10, 300.0, None, False),  # nobody knows a limit
    ],
)
def test_a_bound_that_there_is_no_room_for_is_none(bound: int, each: float, left: float, leads: bool) -> None:
    """A handler with a capacity of ten billion leaks all the same: memory ends before it does."""
    place = Place("shop.log.buffer", bound, ("shop.Record",), each)
    around = scene({"shop.Record": "shop.log.buffer[*]"}, [place])
    around = dataclasses.replace(around, room=Room(left or 1.0, 50 * MB, "a limit", left))
    assert bool(find_incidents([growth("shop.Record")], around)) == leads


def test_mirrors_do_not_lead() -> None:
    """Asyncio's own set of the tasks, and weak references to them, are a part of the application's incident."""
    growths = [
        growth("app.Upload", 0.333),
        growth("weakref.ReferenceType", 0.333, first=1900),
        growth("asyncio.tasks._scheduled_tasks.data", 0.333, "container"),
    ]
    around = scene({"app.Upload": "app.TASKS[*].<app.watchdog>.up", "weakref.ReferenceType": HELD_NATIVE}, in_step=True)
    [incident] = find_incidents(growths, around)
    assert incident.leader.name == "app.Upload"
    assert len(incident.others) == 2


def test_two_indices_of_one_object_are_one_incident() -> None:
    """A signal keeps its receivers in one dict and their senders in another; two dicts of a module are two matters."""
    signal = [growth("app.changed.receivers", 1, "container"), growth("app.changed._by_sender", 1, "container")]
    assert len(find_incidents(signal, scene(in_step=True))) == 1
    module = [growth("app.ORDERS", 1, "container"), growth("app.CARTS", 1, "container")]
    assert len(find_incidents(module, scene(in_step=True))) == 2


def test_a_ratio_is_no_kinship() -> None:
    """A type that grows exactly twice as much as another belongs to it only if it rises and falls with it."""
    growths = [growth("lib.Element", 2), growth("app.Cart")]
    around = {"app.Cart": "app.CARTS[*]"}
    assert sorted(names(growths, scene(around))) == [("app.Cart", "app.CARTS[*]"), ("lib.Element", "")]
    cousins = [growth("app.Line", 2), growth("app.Cart")]
    assert names(cousins, scene(around, in_step=True)) == [("app.Cart", "app.CARTS[*]")]


def test_bookkeeping_is_no_incident() -> None:
    """One dict, or one entry of a container, per snapshot is a server's or a logger's own."""
    assert find_incidents([growth("builtins.dict", 0.005)], scene()) == []
    assert find_incidents([growth("app.LINES", 0.005, "container")], scene()) == []


@pytest.mark.parametrize(("kind", "each"), [("native", 1.0), ("untracked", 256.0)])
@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (90_000.0, ["app.REPORTS"]),
        (20_000.0, ["memory"]),  # some of that memory is theirs, and most is not
        (None, ["memory"]),
    ],
)
def test_few_heavy_entries_are_no_bookkeeping(
    kind: LeakKind, each: float, weight: float | None, expected: list[str]
) -> None:
    """One report in 200 requests, of 90 kB, is what 600 bytes a request are of: nobody else holds that memory."""
    growths = [growth("app.REPORTS", 0.005, "container"), growth("memory", 600 / each, kind)]
    around = scene(places=[Place("app.REPORTS", None, ("builtins.bytes",), weight)])
    assert [name for name, _ in names(growths, around)] == expected


def test_memory_that_nothing_explains() -> None:
    """Blocks that no type and no container accounts for are untracked data, held in native memory."""
    untracked = growth("untracked Python data", 30, "untracked")
    assert names([untracked], scene()) == [("untracked Python data", HELD_NATIVE)]
    explained = [untracked, growth("shop.Session", 1)]
    assert names(explained, scene({"shop.Session": "shop.S[*]"})) == [("shop.Session", "shop.S[*]")]


def test_memory_is_not_blamed_on_a_container_that_happens_to_grow() -> None:
    """What entries weigh is looked at: 180 short texts do not hold the megabytes that a C library lost."""
    dictionary = growth("app.PARTNERS", 0.03, "container")
    native = growth("native memory", 2000, "native")
    weighed = scene({}, [Place("app.PARTNERS", None, ("builtins.str",), 140.0)])
    assert names([dictionary, native], weighed) == [("app.PARTNERS", "app.PARTNERS"), ("native memory", HELD_NATIVE)]
    heavy = scene({}, [Place("app.PARTNERS", None, ("builtins.bytes",), 60_000.0)])
    assert names([dictionary, native], heavy) == [("app.PARTNERS", "app.PARTNERS")]


def test_outside_python_is_said_only_when_all_was_looked_at() -> None:
    """A walk that was cut short has not seen who holds it: no holder is better than a false one."""
    blocks = growth("untracked Python data", 30, "untracked")
    assert names([blocks], scene(complete=False)) == [("untracked Python data", "")]
    assert names([growth("mapped memory", 1e5, "mapped")], scene()) == [("mapped memory", "")]


def test_native_memory_beside_blocks_is_theirs() -> None:
    """Bytes of the C library are told only if neither blocks nor objects account for them."""
    native = growth("native memory", 1e6, "native")
    assert names([native], scene())[0][0] == "native memory"
    assert [name for name, _ in names([growth("untracked Python data", 30, "untracked"), native], scene())] == [
        "untracked Python data"
    ]


def test_what_is_searched_for() -> None:
    """Types that say most come first; builtins fill what is left, if they grow by more than bookkeeping."""
    growths = [growth("builtins.dict", 0.001), growth("builtins.list", 5), growth("lib.Part"), growth("app.Cart", 0.1)]
    assert to_search(growths, rank) == ["app.Cart", "lib.Part", "builtins.list"]
    assert len(to_search([growth(f"app.T{n}") for n in range(50)], rank)) == 6


def test_memory_of_a_buffer_has_its_holder() -> None:
    """Native memory that one buffer accounts for is held by it; beside a small one it is held in native memory."""
    memory, large, small = (
        growth(name, rate, "native")
        for name, rate in (("native memory", 5_000), ("buffer app.LOG.data", 4_000), ("buffer app.tail", 100))
    )
    [incident] = find_incidents([memory, large, small], scene())
    assert (incident.leader.name, incident.root, incident.holder) == ("native memory", "app.LOG.data", "app.LOG.data")
    assert names([memory, small], scene()) == [("native memory", HELD_NATIVE)]


def test_of_verdicts_that_turn_out_to_be_one_the_one_with_a_holder_lends_its_name():
    """What was confirmed without a holder beside a leak whose holder is known is not the name of both, if older."""

    def verdict(name: str, path: str, at: float, state: LeakState = "confirmed") -> Leak:
        return Leak(
            name=name,
            state=state,
            severity="low",
            path=path,
            first=1,
            last=100,
            growth_percent=99.0,
            growth_per_hour=1.0,
            since=0.0,
            detected_at=at,
            snapshots=9,
        )

    one = Incident(growth("werkzeug.ClosingIterator"), (growth("app.Declined"), growth("app.Order")))
    own = {
        leak.name: leak
        for leak in (
            verdict("app.Declined", "app.FAILED[*]", 9.0),
            verdict("werkzeug.ClosingIterator", "", 5.0),
            verdict("app.Order", "app.FAILED[*]", 1.0, "suspected"),
        )
    }
    assert first_told(one, own) == own["app.Declined"]
    del own["app.Declined"]
    assert first_told(one, own) == own["werkzeug.ClosingIterator"]
    del own["werkzeug.ClosingIterator"]
    assert first_told(one, own) == own["app.Order"]
    assert first_told(one, {}) is None


@pytest.mark.parametrize("said", [HELD_NATIVE, UNHELD])
def test_what_no_path_leads_to_lends_its_kin_no_holder(said: str) -> None:
    """A type that was not searched, in step with frames of which no path was found, has a holder that is not known."""
    growths = [growth("werkzeug.EnvironHeaders"), growth("builtins.frame", 7)]
    [incident] = find_incidents(growths, scene({"builtins.frame": said}, in_step=True))
    assert (incident.leader.name, incident.holder, incident.is_held) == ("werkzeug.EnvironHeaders", "", False)
    own = scene({"werkzeug.EnvironHeaders": said, "builtins.frame": said}, in_step=True)
    [incident] = find_incidents(growths, own)
    assert (incident.holder, incident.is_held) == (said, False)


def test_a_path_comes_before_none() -> None:
    """Where a good part of a sample has a path, that is the holder, though more of it has none."""
    held = {"app.Row": [(HELD_NATIVE, 0.6), ("app.ROWS[*]", 0.4)]}
    [incident] = find_incidents([growth("app.Row")], Scene(held, {}, rank, module))
    assert incident.holder == "app.ROWS[*] (40 % of a sample)"


def test_under_another_leader_nothing_is_said_of_native_memory() -> None:
    """That no path leads to objects was shown of those alone; a path belongs to all that it holds."""
    memory, headers = growth("native memory", 2000, "native"), growth("werkzeug.EnvironHeaders")
    lost = Incident(memory, (headers,), HELD_NATIVE, HELD_NATIVE)
    assert lost.led_by("native memory").holder == HELD_NATIVE
    assert (lost.led_by(headers.name).holder, lost.led_by(headers.name).root) == ("", "")
    kept = Incident(memory, (headers,), "app.LOG", "app.LOG")
    assert kept.led_by(headers.name).holder == "app.LOG"


def test_a_cache_that_fills_explains_the_memory_that_it_takes() -> None:
    """It ends by its own word, so it is no incident; nor is its memory, which nobody else may be said to hold."""
    growths = [growth("shop.CACHE", 3, "container"), growth("untracked Python data", 9, "untracked")]
    place = Place("shop.CACHE", bound=20_000, holds=("builtins.str",), entry_bytes=300.0)
    assert names(growths, scene(places=[place])) == []
    unbound = dataclasses.replace(place, bound=None)
    assert names(growths, scene(places=[unbound])) == [("shop.CACHE", "shop.CACHE")]


def test_tasks_whose_coroutine_is_known_lead_what_asyncio_makes_for_each() -> None:
    """Each task has several coroutines and what they wait for, and only its own says what runs."""
    growths = [growth("asyncio.locks.Event"), growth("builtins.coroutine", 2), growth("_asyncio.Task")]
    around = scene(dict.fromkeys((one.name for one in growths), "shop.tasks[*]"))
    named = {"_asyncio.Task": "task shop.watch", "builtins.coroutine": "coroutine shop.watch"}
    assert names(growths, around)[0][0] == "asyncio.locks.Event"
    assert names(growths, dataclasses.replace(around, named=named)) == [("_asyncio.Task", "shop.tasks[*]")]


def test_a_context_says_less_than_what_was_begun_in_it() -> None:
    """Each timer and each task has one: the path to the timers says whose they are."""
    growths = [growth("_contextvars.Context", 1.01), growth("asyncio.events.TimerHandle")]
    around = scene({"asyncio.events.TimerHandle": "shop.expiries[*]"}, in_step=True)
    [incident] = find_incidents(growths, around)
    assert (incident.leader.name, incident.holder) == ("asyncio.events.TimerHandle", "shop.expiries[*]")
