"""The state: everything the page shows, right in words and numbers, and as its schema says."""

from __future__ import annotations

import dataclasses
import json
from array import array
from pathlib import Path

import jsonschema
import pytest

import memprof_middleware.web as web
from memprof_middleware import Config
from memprof_middleware.model import MB, Estimate, Forecast, Ignored, Leak, Outlook, Resolved, RouteGrowth
from memprof_middleware.terminal.view import view
from memprof_middleware.text.words import signed
from memprof_middleware.web.html.folds import folds
from memprof_middleware.web.state.build import SCHEMA, build_state
from memprof_middleware.web.state.todo import now_step
from memprof_middleware.web.state.words import ahead, marked, plain, whole
from tests.web import ten
from tests.web.scene import CACHE, LEAKING, LIMIT_MB, NOW, OVER, Scene, leak

SCHEMA_FILE = Path(web.__file__).parent / "state.schema.json"


def state(scene: Scene, config: Config | None = None, **about):
    timelines = scene.timelines
    found = build_state(
        scene.told(), timelines, timelines.get, config or Config(), now=scene.clock.now, about={"host": "h", **about}
    )
    json.dumps(found, allow_nan=False)
    return found


def checked(found):
    """As the schema says."""
    jsonschema.validate(found, json.loads(SCHEMA_FILE.read_text()))
    return found


def replaced(scene: Scene, number: int, **more) -> None:
    """Change the snapshot of a worker."""
    one = scene.metrics[number]
    scene.metrics[number] = dataclasses.replace(one, snapshot=dataclasses.replace(one.snapshot, **more))


def sentence(found) -> str:
    return plain(found["status"]["sentence"])


def facts(incident) -> dict[str, tuple[str, str]]:
    return {fact["key"]: (plain(fact["value"]), plain(fact["note"])) for fact in incident["facts"]}


def test_the_schema_is_valid_and_closed():
    """The schema is one, names the version, and a field that it does not describe is an error."""
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"] == SCHEMA
    found = checked(state(Scene()))
    with pytest.raises(jsonschema.ValidationError):
        checked(found | {"surprise": 1})


@pytest.mark.parametrize("name", ten.TEN)
def test_the_ten_states(name):
    """Each of the ten is as the schema says, and its status is the one that the design has for it."""
    found = checked(ten.TEN[name]().state())
    labels = {
        "leak-urgent": "Act now",
        "leak-ticket": "Plan a fix",
        "native": "Act today",
        "workers16": "Act now",
        "two-incidents": "Act now",
        "nearly-full": "Memory is nearly full",
        "suspected": "No leak confirmed",
        "healthy": "No leak found",
        "learning": "Learning",
        "started": "Just started",
    }
    assert found["status"]["label"] == labels[name]


def test_a_process_without_requests_is_not_said_to_need_them():
    """A loop in the background leaks without any: only of a leak that requests cause is it said."""
    text = json.dumps(ten.TEN["started"]().state())
    assert "No requests yet: a leak that requests cause shows only under load." in text
    assert "none yet: a leak that requests cause shows only under load" in text


def test_a_confirmed_leak_comes_first():
    """What is asked and when, then what keeps what for which route, and three facts."""
    found = state(Scene())
    assert found["status"]["key"] == "now"
    assert sentence(found) == "Worker 4242 reaches its memory limit in about 1 h 50 min. Cause: 1 confirmed leak."
    first = found["incidents"][0]
    assert first["title"] == "shop.cart.SESSIONS keeps one Session for each POST /cart/add"
    assert (first["tag"], first["when"]) == ("Leak confirmed, 97 % sure", "since 18:36 UTC, 2 h 10 min after the start")
    told = facts(first)
    assert told["limit"][0] == "in about 1 h 50 min"
    assert told["limit"][1].startswith(
        "at this pace (watched 3 h 50 min), worker 4242: 422 of 512 MiB, +48 MiB an hour"
    )
    assert told["holder"][0] == "shop.cart.SESSIONS"
    assert "shop/cart.py:14; filled in add_to_cart, line 31" in told["holder"][1]
    wrapped = ten.leak(filled_in=("wrapper, line 14 of cart.py", "record, line 14 of audit.py"))
    [card] = ten.Server(workers=[ten.Worker(pid=1, start_mb=50.0)], leaks=((wrapped, ()),)).state()["incidents"]
    assert "shop/cart.py:14; filled in record, line 14 of audit.py" in facts(card)["holder"][1]
    assert told["route"] == ("POST /cart/add", "keeps 1 Session (26 KiB) per request; 97 % of the growth")


def test_what_to_do_has_a_command_and_a_fix():
    """Who is on call gets one command and the time it has to be typed by; who writes the code gets a fix."""
    advice = state(Scene())["incidents"][0]["advice"]
    assert advice["now"]["code"] == ["kill -TERM 4242"]
    assert plain(advice["now"]["text"]).startswith("Restart worker 4242 before 00:00 UTC.")
    assert "SESSIONS" in plain(advice["fix"]["text"])
    calm = state(Scene(leaks=(CACHE,)))["incidents"][0]["advice"]
    assert plain(calm["now"]["text"]).startswith("Nothing.")
    assert calm["fix"]["step"] == "If it is a cache"


@pytest.mark.parametrize(("minutes_past", "when"), [(1, " now"), (10, " before 16:15 UTC")])
def test_no_restart_is_due_before_a_time_that_has_passed(minutes_past, when):
    """Twenty-one minutes are left: ten of them are for the restart, and the quarter before that may be over."""
    now = NOW - NOW % 86400 + 16 * 3600 + 60.0 * minutes_past
    nearly = {"seconds_low": 1260.0, "seconds_high": 1260.0, "urgency": "now", "basis": "pace", "mb_per_hour": 0.0}
    row = {"pid": 7, "up_seconds": 3600.0, "limit_mb": 512.0}
    told = plain(now_step(leak(), "now", nearly, row, 1, Config(), now)["text"])
    assert told.startswith(f"Restart worker 7{when}.")


def test_a_restart_says_what_it_costs_and_what_it_buys():
    """The only worker of a server leaves nobody to answer; beside others, the restart says how long it helps."""
    alone = plain(state(Scene(workers=1))["incidents"][0]["advice"]["now"]["text"])
    assert alone.endswith("It is the only worker: nothing answers until its server or service manager has replaced it.")
    beside = plain(state(Scene(workers=4))["incidents"][0]["advice"]["now"]["text"])
    assert "only worker" not in beside
    step = state(Scene(workers=1), replaced=False)["incidents"][0]["advice"]["now"]
    assert plain(step["text"]).startswith("Restart the service before ")
    assert plain(step["text"]).endswith("Its server does not replace worker 4242.")
    assert step["code"] == []
    assert "; this buys about 5.7 h." in beside


def test_an_example_is_said_to_be_one():
    """The names in lines of Python are not those of the program; a command stands by itself."""
    python = state(Scene(leaks=(leak(pattern="module_mapping"),)))["incidents"][0]["advice"]["fix"]
    shell = state(Scene(leaks=(leak(pattern="of_a_library"),)))["incidents"][0]["advice"]["fix"]
    assert plain(python["text"]).endswith(" For example:")
    assert "For example" not in plain(shell["text"])
    assert shell["code"] == ["pip list --outdated"]


def test_no_leak_is_never_said_on_stale_counts():
    """Counts that are too old say nothing of now, and those older than two intervals are shown with their age."""
    scene = Scene(leaks=())
    for number in range(len(scene.metrics)):
        replaced(scene, number, census_timestamp=NOW - 1000)
    found = checked(state(scene))
    assert found["status"]["label"] == "Learning"
    assert sentence(found) == "Objects were counted 16 min ago: too long ago to say anything of now."
    assert found["workers"][0]["counts_age_seconds"] == 1000
    assert "objects counted 16&nbsp;min ago" in folds(found)
    assert "16 min ago" in view(found).age


def test_the_first_verdict_is_due_at_the_pace_of_counts():
    """Where counts cost too much to come with each snapshot, 8 min of snapshots are no 8 min of counts."""
    scene = Scene(leaks=())
    scene.metrics = [dataclasses.replace(one, snapshots_taken=11, censuses_taken=3) for one in scene.metrics]
    found = checked(state(scene))
    assert found["status"]["label"] == "Learning"
    # Three counts in ten minutes are one in five; six more are needed.
    assert sentence(found) == "Watched 10 of 40 min. The first verdict is due at 22:55 UTC."
    assert [step["text"].partition(".")[0] for step in found["steps"][1:3]] == [
        "Warm-up: 3 object counts, one in 5 min",
        "Watching: 0 of 6 object counts",
    ]


def test_the_age_of_counts_has_its_reason():
    """Counts that the pause limit puts off say what a count would cost, and what is allowed."""
    [card] = ten.leak_ticket().state()["incidents"]
    assert card["counts_age"]["words"] == "objects counted 4 min ago"
    assert card["counts_age"]["why"].startswith("a count would pause requests for 31 ms (10 ms allowed)")


def test_the_more_pressing_status_is_said():
    """Urgent, full, suspected, learning, healthy: urgency comes from the time to the limit, and from what is used."""
    full = Scene(leaks=(CACHE,))
    replaced(full, 0, heap_used_mb=0.9 * LIMIT_MB)
    young = Scene(leaks=())
    young.metrics = [dataclasses.replace(one, snapshots_taken=4, censuses_taken=4) for one in young.metrics]
    found = [
        checked(state(scene)) for scene in (Scene(), full, Scene(leaks=(CACHE, OVER)), young, Scene(leaks=(OVER,)))
    ]
    assert [one["status"]["key"] for one in found] == ["now", "full", "suspected", "learning", "ok"]
    assert sentence(found[1]).startswith("Worker 4242 uses 90 % of the limit.")
    assert found[1]["status"]["urgency"] == "now"
    assert sentence(found[2]) == "1 suspected: a leak, or a cache that is filling. Nothing is urgent."
    assert sentence(found[3]).startswith("Watched 3 of 8 min. The first verdict is due at ")
    assert sentence(found[4]).startswith("Memory grows by at most 8.6 MiB an hour, and nothing grows as a leak does.")
    assert sentence(ten.healthy().state()) == (
        "Memory is level. Watched for 6 h 12 min and 1.31 M requests. 1 leak is ignored."
    )


def test_a_fill_that_asks_for_action_is_said_beside_the_time():
    """A limit that is 6.6 h away asks nobody to act now: what is nearly full is said first."""
    config = Config(heap_warning_percent=50.0, heap_critical_percent=70.0)
    worker = ten.Worker(pid=4242, start_mb=260.0, per_hour=20.0, hours=6.0, noise=0.1)
    found = ten.Server(workers=[worker], leaks=((ten.leak(bytes_per_hour=20.0 * 2**20), ()),), config=config).state()
    assert sentence(found) == (
        "Worker 4242 uses 74 % of its memory limit and reaches it in about 6.6 h. Cause: 1 confirmed leak."
    )


def test_one_snapshot_is_no_judgement():
    """Nothing is level, and nothing is said not to grow, by a single count; nor is one collection 3,600 an hour."""
    server = ten.started()
    found = dataclasses.replace(
        server, workers=[dataclasses.replace(one, hours=0.01) for one in server.workers], snapshots=1
    )
    state_ = found.state()
    assert plain(state_["types_answer"]).startswith("counted once; ")
    assert state_["watching_answer"] == "too early to say"
    assert ten.healthy().state()["watching_answer"] != "too early to say"
    assert state_["gc"]["answer"].startswith("41 full collections in ")


def test_what_is_only_watched_is_listed_and_changes_nothing():
    """What grows below the limits stands in its own list, not among the incidents, and the status stays green."""
    found = checked(state(Scene(leaks=(dataclasses.replace(CACHE, notable=False),))))
    assert found["status"]["key"] == "ok"
    assert found["incidents"] == []
    assert [one["name"] for one in found["watching"]] == [CACHE.name]


@pytest.mark.parametrize(
    ("kind", "held", "unit"),
    [
        ("native", "C code, not Python objects", "bytes"),
        ("mapped", "mapped memory, owner unknown", "bytes"),
        ("fragmentation", "the allocator", "bytes"),
        ("untracked", "not found", "blocks"),
    ],
)
def test_memory_of_no_python_object_says_whose_it_is(kind, held, unit):
    """Growth that no Python object explains says who has it, as far as that is known."""
    more = {"path": "", "holder": "held in native memory", "share": None, "file": ""}
    found = state(Scene(leaks=(leak(name="native memory", kind=kind, growth_per_hour=46 * 2**20, **more),)))
    assert facts(found["incidents"][0])["holder"][0] == held
    assert found["incidents"][0]["unit"] == unit
    assert (f"leak of {kind} memory" in sentence(found)) is (kind in {"native", "mapped"})


@pytest.mark.parametrize(
    ("holder", "held"), [("held in native memory", "C code, not Python objects"), ("", "not found")]
)
def test_c_code_is_named_only_where_that_is_shown(holder, held):
    """Memory of the C library is C code's only where all that Python keeps was looked at: large texts lie there too."""
    more = {"path": "", "holder": holder, "share": None, "file": "", "pattern": "native"}
    found = state(Scene(leaks=(leak(name="native memory", kind="native", growth_per_hour=46 * 2**20, **more),)))
    assert facts(found["incidents"][0])["holder"][0] == held


class TestLimits:
    """Memory limit reached: always a figure or a reason."""

    def test_the_forecast_is_believed(self):
        """Where a worker has a range, the range is said, and the earliest one comes first."""
        scene = Scene()
        ranges = ((9000.0, 12000.0), (6900.0, 10800.0), (None, None), (20000.0, None))
        told = [Outlook(used_mb=400.0, limit_mb=512.0, low_seconds=low, high_seconds=high) for low, high in ranges]
        scene.metrics = [
            dataclasses.replace(one, forecast=Forecast(worker=outlook))
            for one, outlook in zip(scene.metrics, told, strict=True)
        ]
        found = state(scene)
        limits = {row["pid"]: row["limit"] for row in found["workers"]}
        assert limits[4243]["note"].startswith("00:20 to 01:25 UTC, worker 4243")
        assert limits[4243]["words"] == "in about 2.5 h"
        assert limits[4251]["words"] == "in 5.6 h or later"
        assert [limits[pid]["basis"] for pid in (4242, 4243, 4244, 4251)] == [
            "forecast",
            "forecast",
            "pace",
            "forecast",
        ]

    def test_a_limit_that_all_share_is_reached_by_all(self):
        """Workers in one container end together: the status says so and names no single one."""
        scene = Scene()
        for number in range(4):
            replaced(
                scene,
                number,
                heap_size_source="cgroup v2",
                heap_size_mb=2048.0,
                container_used_mb=1900.0,
                container_size_mb=2048.0,
            )
        found = state(scene)
        assert found["shared"]["contained"]
        assert found["limits"][found["status"]["limit"]]["pid"] is None
        assert sentence(found).startswith("The container reaches its memory limit in about 45 min.")

    def test_arithmetic_is_rough_while_it_is_young(self):
        """What was watched for less than half an hour is marked, and raises nothing unless the leak is confirmed."""
        [card] = ten.suspected().state()["incidents"]
        assert card["limit"]["words"] == "about 3.6 h at this pace"
        assert card["limit"]["note"].startswith("rough: watched 13 min. Worker 4245: 198 of 512 MiB")
        confirmed = ten.suspected()
        confirmed.leaks = tuple((dataclasses.replace(one, state="confirmed"), pids) for one, pids in confirmed.leaks)
        assert confirmed.state()["status"]["key"] == "now"
        assert "in about 3.6 h (rough: watched 13 min)" in sentence(confirmed.state())

    def test_a_suspicion_alone_raises_nothing(self):
        """The pace of a suspicion is told, and the status stays calm."""
        found = ten.suspected().state()
        assert sentence(found).startswith("1 suspected, decided in about 1 h 35 min: a leak")
        assert "decided after about 8,800 more requests (in about 1 h 35 min)" in found["incidents"][0]["when"]
        assert found["status"]["urgency"] == "none"
        assert found["incidents"][0]["urgency"] == "none"

    def test_far_away_is_told_in_days(self):
        """A leak that is 17 days from its limit is a ticket, and one of more than 90 does not reach it."""
        far = ten.leak_ticket().state()
        assert far["incidents"][0]["limit"]["words"] == "in about 17 days"
        assert far["status"]["key"] == "plan"
        slow = ten.leak_ticket()
        slow.leaks = tuple((dataclasses.replace(one, bytes_per_hour=2.0**17), ()) for one, _ in slow.leaks)
        slow.workers = [dataclasses.replace(one, per_hour=0.125) for one in slow.workers]
        assert slow.state()["incidents"][0]["limit"]["words"] == "not at this pace"
        assert plain(slow.state()["status"]["sentence"]).endswith("No worker reaches its memory limit at this pace.")

    def test_the_reason_where_there_is_no_figure(self):
        """Level memory, a young server and a process without a limit say why there is no figure."""
        assert {one["words"] for one in ten.healthy().state()["limits"]} == {"not at this pace"}
        assert ten.learning().state()["limits"][0]["words"] == "too early to say"
        assert ten.learning().state()["limits"][0]["note"] == "from 16:56 UTC"
        scene = Scene(leaks=())
        for number in range(4):
            replaced(scene, number, heap_size_mb=None, heap_size_source="")
        assert {row["limit"]["words"] for row in state(scene)["workers"]} == {"no limit known"}

    @pytest.mark.parametrize(
        ("per_hour", "hours", "words"),
        [
            (100.0, 0.6, "too early to say"),  # 3 h at this pace
            (20.0, 0.6, "too early to say"),  # warm-up
            (30.0, 6.0, "too early to say"),  # 5 h at this pace
            (10.0, 4.0, "not at this pace"),  # 29 h
            (0.05, 0.6, "not at this pace"),  # more than 90 days
        ],
    )
    def test_growth_without_a_leak_is_not_said_to_miss_the_limit(self, per_hour, hours, words):
        """Unless the limit is far away at this pace: neither the judge nor the forecast can know so soon."""
        server = ten.Server(workers=[ten.Worker(pid=4242, start_mb=180, per_hour=per_hour, hours=hours, noise=0.1)])
        assert server.state()["limits"][0]["words"] == words

    def test_a_smaller_leak_has_a_time_of_its_own(self):
        """Beside a worse one, a leak's time is that of this leak alone, and so is its urgency."""
        first, second, over = ten.two_incidents().state()["incidents"]
        assert (first["urgency"], second["urgency"]) == ("now", "plan")
        assert second["limit"]["words"].endswith("by this leak alone")
        assert plain(over["resolved"]).startswith("shop.mail.OUTBOX was freed. It grew for ")
        assert over["when"].startswith("at 16:20 UTC")


def test_of_leaks_that_take_about_as_much_the_one_with_a_holder_comes_first():
    """It says what to change; one that takes several times as much comes first all the same."""

    def order(mb: float) -> list[str]:
        other = ten.leak(name="shop.Header", path="", holder="", file="", filled_in=(), bytes_per_hour=mb * 2**20)
        server = ten.leak_urgent()
        server.leaks = ((ten.leak(bytes_per_hour=40.0 * 2**20), ()), (other, ()))
        return [one["name"] for one in server.state()["incidents"]]

    assert order(45.0) == ["shop.models.Session", "shop.Header"]
    assert order(190.0) == ["shop.Header", "shop.models.Session"]


def test_workers_are_in_the_order_of_their_end():
    """The first to reach its limit is on top; who is silent or gone is last, with its last figures."""
    scene = Scene()
    replaced(scene, 0, timestamp=NOW - 400)
    scene.metrics.pop(3)
    found = state(scene)
    assert [(row["pid"], row["live"], row["age_seconds"]) for row in found["workers"]] == [
        (4244, True, None),
        (4243, True, None),
        (4242, True, 400.0),
        (4251, False, 0.0),
    ]
    assert found["workers"][3]["rss_mb"] > 200
    assert found["limits"][found["status"]["limit"]]["pid"] == 4244


def test_a_young_worker_is_not_extrapolated():
    """What was watched for minutes is told as it was, in the status and in the rows, and not as growth an hour."""
    server = ten.healthy()
    server.workers = [dataclasses.replace(one, hours=0.2, per_hour=170.0, noise=0.01) for one in server.workers]
    found = server.state()
    assert sentence(found).startswith("Memory grew by at most 34 MiB in 12 min. Too early to say why. ")
    assert found["workers"][0]["growth"] == "+34 MiB in 12 min"
    assert {one["name"]: one["value"] for one in found["overview"]}["Growth"] == "+34 MiB in 12 min"


def test_who_is_gone_for_long_is_not_shown():
    """A worker that ended more than an hour ago is forgotten."""
    scene = Scene()
    scene.metrics.pop(3)
    old = scene.timelines["3"]
    scene.timelines["3"] = dataclasses.replace(old, times=array("d", [moment - 3700 for moment in old.times]))
    assert [row["pid"] for row in state(scene)["workers"]] == [4242, 4244, 4243]


def test_of_many_workers_those_that_differ_stand_out():
    """One of sixteen leaks and one is silent: one sentence, one line beside a band, and two rows that are outliers."""
    found = checked(ten.workers16().state())
    assert found["workers_sentence"].startswith("14 workers are alike: 37 to 42 % of the limit, level. 1 differs.")
    assert [row["pid"] for row in found["workers"] if row["outlier"]] == [20061, 20037]
    assert [one["name"] for one in found["timeline"]["series"]] == ["20061"]
    assert found["timeline"]["band"]["name"] == "the other 15"
    assert all(low <= high for _, low, high in found["timeline"]["band"]["points"])
    assert sentence(found).startswith("1 of 16 workers (20061) reaches its memory limit in about 3 h.")


def test_one_incident_is_one_card():
    """A leak that four workers have is one card with their sum, the worst state and all their numbers."""
    scene = Scene(leaks=(leak(state="suspected", confidence=0.5),))
    scene.metrics[2] = dataclasses.replace(scene.metrics[2], leaks=(leak(),))
    [card] = state(scene)["incidents"]
    assert (card["state"], card["confidence"], card["growth_per_hour"]) == ("confirmed", 0.97, 4 * 1920.0)
    assert card["workers"] == ["0", "1", "2", "3"]


def test_what_one_worker_has_found_holds_for_all():
    """Where the worst worker knows no holder and another does, the holder is shown."""
    scene = Scene(leaks=(leak(path="", holder="", file="", share=None, filled_in=()),))
    scene.metrics[3] = dataclasses.replace(scene.metrics[3], leaks=(leak(),))
    assert facts(state(scene)["incidents"][0])["holder"][0] == "shop.cart.SESSIONS"


def test_one_holder_is_one_incident_whatever_each_worker_calls_it():
    """One worker tells of the lines of orders, the other ones of the orders: their counts are not added."""
    order = leak(name="shop.Order", last=1000)
    line = leak(name="shop.Line", path="shop.cart.SESSIONS[*].lines[*]", last=20_312)
    scene = Scene(leaks=(order,))
    scene.metrics[2] = dataclasses.replace(scene.metrics[2], leaks=(line,))
    over = Resolved(leak=dataclasses.replace(line, state="resolved"), at=ten.NOW - 60)
    scene.metrics[3] = dataclasses.replace(scene.metrics[3], resolved=(over,))
    [card] = state(scene)["incidents"]
    assert card["workers"] == ["0", "1", "3", "2"]
    assert card["last"] == {"shop.Order": 3000, "shop.Line": 20_312}[card["name"]]
    assert card["bytes_per_hour"] == sum(one.bytes_per_hour for worker in scene.told() for one in worker.leaks)
    scene.metrics[2] = dataclasses.replace(scene.metrics[2], leaks=(line, order))
    assert len(state(scene)["incidents"]) == 2


def test_a_route_that_only_the_attribution_knows():
    """Where the leak names no route, what was found out of its type by route is said."""
    scene = Scene(leaks=(leak(route="", route_share=None, route_per_request=None),))
    told = ten.route("POST /cart/add", LEAKING, 1.0, 0.9, 1.1, 0.9)
    assert isinstance(told, RouteGrowth)
    scene.metrics[0] = dataclasses.replace(scene.metrics[0], route_growth=(told,))
    [card] = state(scene)["incidents"]
    assert card["feeds"][0]["route"] == "POST /cart/add"
    assert "POST /cart/add" in card["title"]


def test_a_wide_interval_is_no_figure():
    """What a request keeps is not told while its high end is more than three times the estimate."""
    [card] = state(Scene(leaks=(leak(route_per_request=Estimate(1.0, 0.1, 7.0)),)))["incidents"]
    assert facts(card)["route"][1].startswith("how much a request keeps is not clear yet")


@pytest.mark.parametrize(("share", "told"), [(0.86, "+93 MiB an hour"), (0.1, "+108 MiB an hour")])
def test_a_picture_of_all_memory_has_the_figure_of_what_has_most_of_it(share, told):
    """The card says +93 MiB an hour, and its chart not +108; of what has little, the line is told as it is drawn."""
    one = ten.leak(name="app.SESSIONS", kind="container", path="", also=(), bytes_per_hour=share * 108.0 * 2**20)
    worker = ten.Worker(pid=4242, start_mb=50.0, per_hour=108.0, hours=1.0, noise=0.01)
    [card] = ten.Server(workers=[worker], leaks=((one, ()),)).state()["incidents"]
    assert (plain(card["series"]["name"]), card["fit"]["words"]) == ("Memory in use", told)


def test_the_picture_goes_on_to_the_limit():
    """What leaks is drawn with its fit, and the limit's band where it is nearer than four times the time watched."""
    card = ten.leak_urgent().state()["incidents"][0]
    assert plain(card["series"]["name"]) == "Session objects"
    assert card["fit"]["words"].startswith("+1,9")
    assert card["hit"]["low"] == pytest.approx(ten.NOW + 5700, abs=1)
    assert card["hit"]["high"] == pytest.approx(ten.NOW + 7800, abs=1)
    assert ten.leak_ticket().state()["incidents"][0]["hit"] is None
    native = ten.native().state()["incidents"][0]
    assert (plain(native["series"]["name"]), native["series"]["unit"]) == ("Native memory in use", "MB")


def test_what_people_decided_is_shown():
    """An incident that somebody knows of has its time, and what is ignored is listed with who decided it and why."""
    [card] = ten.leak_ticket().state()["incidents"]
    assert card["acknowledged"]["words"] == "acknowledged 15:20 UTC"
    urgent = ten.leak_ticket()
    urgent.workers = [dataclasses.replace(one, limit_mb=440.0) for one in urgent.workers]
    [card] = urgent.state()["incidents"]
    assert card["acknowledged"]["words"] == "acknowledged 15:20 UTC, more urgent since"
    by_setting, by_page = ten.healthy().state()["ignored"]
    assert (by_setting["item"], by_setting["by"]) == ("shop.geo.CITIES", "setting")
    assert by_setting["growth"] == "9,120 to 9,340"
    assert (by_page["item"], by_page["by"], by_page["growth"]) == ("route:GET /report", "page", "does not grow")


def test_types_that_leak_come_first():
    """Then those that grew most in the last hour."""
    found = state(Scene())["types"]
    assert [row["name"] for row in found[:2]] == [LEAKING, "builtins.dict"]
    assert found[0]["state"] == "confirmed"
    assert [row["change_hour"] for row in found[1:]] == sorted((row["change_hour"] for row in found[1:]), reverse=True)


def test_where_the_memory_is_adds_up():
    """The parts add up to what is resident, and the answer names what grew; of a level worker nothing grew."""
    found = state(Scene())
    assert sum(row["mb"] for row in found["memory"]["rows"]) == pytest.approx(found["workers"][0]["rss_mb"], abs=0.1)
    assert found["memory"]["answer"].startswith("Python objects 341 MiB (+1")
    assert "(" not in ten.healthy().state()["memory"]["answer"]


def test_a_young_server_is_a_state_too():
    """No snapshot, no past, no listener: nothing is known, and nothing fails."""
    scene = Scene(leaks=(), workers=1)
    scene.metrics = [
        dataclasses.replace(scene.metrics[0], snapshot=None, snapshots_taken=0, censuses_taken=0, start_time=NOW)
    ]
    scene.timelines.clear()
    found = checked(state(scene))
    assert found["status"]["label"] == "Just started"
    assert found["memory"] is None
    assert found["types"] == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((30, "less than a minute"), (90, "a minute"), (1500, "25 min"), (6750, "1 h 50 min")),
        *((10_800, "3 h"), (12_960, "3.6 h"), (39_700, "11 h"), (414 * 3600, "17 days")),
    ],
)
def test_a_time_ahead_is_no_finer_than_it_is_known(seconds, words):
    """Minutes below two hours, tenths below ten, whole hours, then days."""
    assert ahead(seconds) == words


@pytest.mark.parametrize(
    ("text", "names"), [("`a` keeps `b`", ["a", "b"]), ("plain", []), ("a ` alone", []), ("", []), ("``", [])]
)
def test_names_stand_between_backticks(text, names):
    """What stands between backticks is a name; a backtick alone is a character."""
    found = marked(text)
    assert [part["text"] for part in found if part["as"] == "code"] == names
    assert plain(found) == (text.replace("`", "") if names or text == "``" else text)


def test_what_is_ignored_counts_against_the_limit():
    """Nothing is reported of it, and the limit that it leads to is: the page says how soon it is reached."""
    server = ten.leak_urgent()
    [leaking] = [one for one, _ in server.leaks if one.notable]
    known = dataclasses.replace(leaking, hours_left=2.0)
    workers = [dataclasses.replace(one, forecast=None) for one in server.workers]
    ignored = (Ignored(item="shop.cart.SESSIONS", by="page", since=NOW, leaks=(known,)),)
    found = dataclasses.replace(server, workers=workers, leaks=(), ignored=ignored).state()
    assert not found["incidents"]
    assert found["limits"][0]["seconds_low"] <= 2 * 3600
    assert found["status"]["key"] == "now"
    assert sentence(found).endswith("The leak that causes it is ignored.")


@pytest.mark.parametrize(
    ("value", "text"), [(-2, "\N{MINUS SIGN}2"), (-1310000, "\N{MINUS SIGN}1.31 M"), (-0.2, "0"), (12152, "12,152")]
)
def test_fewer_things_have_a_minus_of_their_own(value: float, text: str) -> None:
    """So that nothing puts a plus before it."""
    assert whole(value) == text
    assert signed(whole(value)) == (text if value < -1 else f"+{text}")


def test_memory_that_cannot_be_read_is_not_promised_for_later():
    """Where ``/proc`` is hidden, no minute of waiting says how soon the limit is reached."""
    server = ten.leak_ticket()
    figures = server._metrics
    server._metrics = lambda slot, worker: dataclasses.replace(  # type: ignore[method-assign]
        figures(slot, worker),
        snapshot=dataclasses.replace(figures(slot, worker).snapshot, heap_used_mb=None, rss_mb=None),
        leaks=tuple(
            dataclasses.replace(one, hours_left=None, bytes_per_hour=0.0) for one in figures(slot, worker).leaks
        ),
    )
    found = checked(server.state())
    assert {row["limit"]["words"] for row in found["workers"]} == {"not known"}
    assert found["incidents"][0]["limit"]["note"] == "memory in use cannot be read: `/proc` is hidden"
    assert sentence(found).endswith("memory in use cannot be read, /proc is hidden.")
    now = found["incidents"][0]["advice"]["now"]
    assert plain(now["text"]) == (
        "Nothing is known to be urgent. /proc cannot be read: memory and limit are not known."
    )
    assert "look again" not in str(found)


def test_a_successor_without_a_snapshot_is_no_error():
    """It inherits a leak that was urgent, and nobody knows its memory yet: right after the restart that was advised."""
    server = ten.leak_ticket()
    figures = server._metrics
    server._metrics = lambda slot, worker: dataclasses.replace(  # type: ignore[method-assign]
        figures(slot, worker),
        snapshot=None,
        forecast=None,
        leaks=tuple(dataclasses.replace(one, fill="now") for one in figures(slot, worker).leaks),
    )
    found = checked(server.state())
    assert found["status"]["key"] == "now"
    assert "just started: " in sentence(found)


@pytest.mark.parametrize(
    ("workers", "said"),
    [(2, "The other worker does not have this leak."), (4, "The other 3 workers do not have this leak.")],
)
def test_what_is_said_of_the_other_workers_is_what_is_known(workers: int, said: str):
    """That they do not have the leak: they may be as near to their limit."""
    urgent = ten.leak_urgent()
    server = dataclasses.replace(urgent, workers=urgent.workers[:workers], leaks=((urgent.leaks[0][0], (4242,)),))
    [incident] = server.state()["incidents"]
    assert plain(incident["advice"]["now"]["text"]).endswith(said)


def test_the_most_that_a_worker_grew_is_no_pace():
    """One has grown by 30 MiB in 6 minutes, another by 45 in 27: at most 45."""
    workers = [
        ten.Worker(pid=pid, start_mb=50.0, per_hour=per_hour, hours=hours, noise=0.0)
        for pid, per_hour, hours in ((1, 300.0, 0.1), (2, 100.0, 0.45))
    ]
    assert sentence(ten.Server(workers=workers).state()).startswith("Memory grew by at most 45 MiB in 27 min.")


@pytest.mark.parametrize(("times", "told"), [(2, False), (14, True)])
def test_that_nobody_judges_is_said_at_the_top(times: int, told: bool):
    """The log has one line of it; "no leak found" would be a promise that nobody keeps."""
    server = ten.healthy()
    figures = server._metrics
    server._metrics = lambda slot, worker: dataclasses.replace(  # type: ignore[method-assign]
        figures(slot, worker), failures={"leaks": times}
    )
    said = "An internal error has kept leaks from being judged 14 times: see the log."
    assert (said in sentence(checked(server.state()))) is told


def _in_two_workers(*second: Leak) -> Scene:
    """A confirmed leak in the first of two workers, and what the second one shows."""
    scene = Scene(workers=2)
    scene.metrics[1] = dataclasses.replace(scene.metrics[1], leaks=second)
    return scene


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ((), True),
        ((dataclasses.replace(CACHE, notable=False),), True),
        ((leak(name="shop.models.Basket", state="suspected", notable=False, also=()),), False),  # on the same holder
        ((leak(name="shop.models.Row", path="", holder="", state="suspected", notable=False, also=(LEAKING,)),), False),
    ],
)
def test_a_worker_that_may_have_the_leak_is_not_said_to_be_free_of_it(second: tuple[Leak, ...], said: bool):
    """It has the same one under another name, or as what is only watched."""
    [card] = [one for one in state(_in_two_workers(*second))["incidents"] if one["state"] == "confirmed"]
    assert ("The other worker does not have this leak." in plain(card["advice"]["now"]["text"])) is said


def test_the_worker_that_reaches_its_limit_first_is_restarted():
    """Its leak is a suspicion still, and that of the other is confirmed: what presses is the limit."""
    scene = _in_two_workers(leak(state="suspected"))
    replaced(scene, 1, heap_used_mb=1.02 * LIMIT_MB)
    [card] = [one for one in state(scene)["incidents"] if one["state"] == "confirmed"]
    assert card["workers"] == ["0", "1"]
    assert card["advice"]["now"]["code"] == ["kill -TERM 4243"]


def test_a_limit_that_comes_before_the_decision_is_said():
    """That a suspicion is decided in an hour helps nobody whose memory is full in half of that."""
    late = dataclasses.replace(CACHE, decided_seconds=3600.0, bytes_per_hour=400 * MB, hours_left=0.4)
    scene = Scene(workers=1, leaks=(late,))
    found = checked(state(scene))
    [card] = found["incidents"]
    assert card["limit"]["seconds_low"] < 3600
    assert "At this pace memory is full before that, in about" in sentence(found)
    assert "If memory still grows, restart worker 4242." in plain(card["advice"]["now"]["text"])
    unreplaced = state(scene, replaced=False)["incidents"][0]["advice"]["now"]["text"]
    assert plain(unreplaced).endswith("If memory still grows, restart the service.")
