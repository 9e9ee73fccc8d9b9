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
from memprof_middleware.model import Estimate, Forecast, Outlook, RouteGrowth
from memprof_middleware.terminal.view import view
from memprof_middleware.web.html import tables
from memprof_middleware.web.state.build import SCHEMA, build_state
from tests.web.scene import CACHE, LEAKING, LIMIT_MB, NOW, OVER, Scene, leak

SCHEMA_FILE = Path(web.__file__).parent / "state.schema.json"


def state(scene: Scene, config: Config | None = None, **about):
    tracks = scene.tracks
    found = build_state(
        scene.metrics, tracks, tracks.get, config or Config(), now=scene.clock.now, about={"host": "h", **about}
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
    return "".join(part["text"] for part in found["verdict"]["sentence"])


def test_the_schema_is_valid_and_closed():
    """The schema is one, names the version, and a field that it does not describe is an error."""
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"] == SCHEMA
    found = checked(state(Scene()))
    with pytest.raises(jsonschema.ValidationError):
        checked(found | {"surprise": 1})


def test_a_confirmed_leak_comes_first():
    """What, how fast, who ends first and when, who holds it and which route feeds it."""
    found = state(Scene())
    verdict = found["verdict"]
    assert (verdict["state"], verdict["label"], verdict["name"]) == ("leak_confirmed", "LEAK CONFIRMED", LEAKING)
    assert verdict["headline"] == "grows by 7,680 an hour"  # 1,920 in each of four workers
    assert verdict["first_to_end"]["pid"] == found["workers"][0]["pid"] == 4242
    assert sentence(found).startswith("Worker 4242 reaches its limit of 512 MiB in about 1 h 4")
    facts = {fact["name"]: (fact["value"], fact["note"]) for fact in verdict["facts"]}
    assert facts["Held by"][0].startswith("shop.cart.SESSIONS")
    assert facts["Comes from"] == ("POST /cart/add", "1 kept per request, of whatever route")
    assert facts["Since"] == ("18:36 UTC", "2 h 10 min after the start at 16:26")
    assert facts["Confidence"][0] == "97 %"


def test_no_leak_is_never_said_on_stale_counts():
    """Counts that are too old say nothing of now, and those older than two intervals are shown with their age."""
    scene = Scene(leaks=())
    for number in range(len(scene.metrics)):
        replaced(scene, number, census_timestamp=NOW - 1000)
    found = checked(state(scene))
    assert found["verdict"]["label"] == "STILL LEARNING"
    assert found["verdict"]["headline"] == "(objects were counted 16 min ago)"
    assert found["workers"][0]["census_age_seconds"] == 1000
    assert "counted 16 min ago" in tables.types(found)
    assert "(16 min ago)" in view(found).workers[0].objects


def test_the_five_verdicts():
    """Confirmed, near the limit, suspected, learning, healthy: the more pressing one is said."""
    full = Scene(leaks=(CACHE,))
    replaced(full, 0, heap_used_mb=0.9 * LIMIT_MB)
    young = Scene(leaks=())
    young.metrics = [dataclasses.replace(one, censuses_taken=4) for one in young.metrics]
    found = [
        checked(state(scene)) for scene in (Scene(), full, Scene(leaks=(CACHE, OVER)), young, Scene(leaks=(OVER,)))
    ]
    labels = [one["verdict"]["label"] for one in found]
    assert labels == ["LEAK CONFIRMED", "MEMORY IS NEAR ITS LIMIT", "LEAK SUSPECTED", "STILL LEARNING", "NO LEAK FOUND"]
    assert found[1]["verdict"]["headline"] == "worker 4242 uses 461 MiB, 90 % of its limit"
    assert "One suspect: shop.pricing._quotes (lru_cache)." in sentence(found[1])
    assert "a cache that fills looks the same" in sentence(found[2])
    assert found[3]["verdict"]["headline"] == "(4 min of 9 min)"
    assert found[4]["verdict"]["headline"] == "Memory is level: 4 workers, 286 MiB at most, 47 % of the limit"
    assert sentence(found[4]) == "Watched for 5 h 59 min and 320.7 k requests."


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("native", "memray"),
        ("fragmentation", "not given back to the system"),
        ("untracked", "C extension"),
    ],
)
def test_what_is_outside_python_says_so(kind, words):
    """Growth that no Python object explains points to the tool that can, and its figures are bytes."""
    found = state(Scene(leaks=(leak(name="native memory", kind=kind, growth_per_hour=46 * 2**20, holder=""),)))
    assert words in sentence(found)
    assert found["verdict"]["headline"] == f"grows by {'192.94 M' if kind == 'untracked' else '184 MiB'} an hour"
    assert found["leaks"][0]["unit"] == ("blocks" if kind == "untracked" else "bytes")


def test_the_forecast_is_believed():
    """Where a worker tells a range, the range is said, and the earliest one comes first."""
    scene = Scene()
    object.__setattr__  # noqa: B018
    ranges = ((9000.0, 12000.0), (6900.0, 10800.0), (None, None), (20000.0, None))
    told = [Outlook(used_mb=400.0, limit_mb=512.0, low_seconds=low, high_seconds=high) for low, high in ranges]
    scene.metrics = [
        dataclasses.replace(one, forecast=Forecast(worker=outlook))
        for one, outlook in zip(scene.metrics, told, strict=True)
    ]
    found = state(scene)
    assert found["verdict"]["first_to_end"]["pid"] == 4243
    assert "in 1 h 55 min to 3 h 00 min (00:20 to 01:25 UTC)." in sentence(found)
    left = {row["pid"]: row["time_left"] for row in found["workers"]}
    assert left[4251] == {"low_seconds": 20000.0, "high_seconds": None, "by": "forecast"}
    assert left[4244]["by"] == "pace"


def test_a_limit_that_all_share_is_reached_by_all():
    """Workers in one container end together: the verdict says so and names no single one."""
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
    assert found["verdict"]["first_to_end"]["pid"] is None
    assert sentence(found).startswith("All 4 workers together reach their limit of 2.0 GiB in about 44 min")


def test_a_minute_tells_nothing_of_days():
    """The pace of a leak is trusted twelve times as far ahead as it was watched; beyond that nothing is foreseen."""
    scene = Scene()
    for number in range(4):
        replaced(scene, number, heap_size_mb=8192.0)
    found = state(scene)
    assert found["verdict"]["first_to_end"] is None
    assert sentence(found) == "No limit is foreseen to be reached yet."


def test_workers_are_in_the_order_of_their_end():
    """The first to reach its limit is on top; who is silent or gone is last, with its last figures and no forecast."""
    scene = Scene()
    replaced(scene, 0, timestamp=NOW - 400)
    scene.metrics.pop(3)
    found = state(scene)
    assert [(row["pid"], row["live"], row["silent_seconds"]) for row in found["workers"]] == [
        (4244, True, None),
        (4243, True, None),
        (4242, True, 400.0),
        (4251, False, 0.0),
    ]
    assert found["workers"][3]["rss_mb"] > 200
    assert found["verdict"]["first_to_end"]["pid"] == 4244


def test_who_is_gone_for_long_is_not_shown():
    """A worker that ended more than an hour ago is forgotten."""
    scene = Scene()
    scene.metrics.pop(3)
    old = scene.tracks["3"]
    scene.tracks["3"] = dataclasses.replace(old, times=array("d", [moment - 3700 for moment in old.times]))
    assert [row["pid"] for row in state(scene)["workers"]] == [4242, 4244, 4243]


def test_many_workers_are_three_lines_and_a_band():
    """Of sixty workers the picture shows the worst and what lies between the others."""
    found = checked(state(Scene(workers=60)))
    assert len(found["timeline"]["series"]) == 3
    assert found["timeline"]["band"]["name"] == "57 others, lowest to highest"
    assert all(low <= high for _, low, high in found["timeline"]["band"]["points"])
    assert len(found["workers"]) == 60


def test_one_incident_is_one_line():
    """A leak that four workers have is one row with their sum, the worst state and all their names."""
    scene = Scene(leaks=(leak(state="suspected", confidence=0.5),))
    scene.metrics[2] = dataclasses.replace(scene.metrics[2], leaks=(leak(),))
    [row] = state(scene)["leaks"]
    assert (row["state"], row["confidence"], row["growth_per_hour"]) == ("confirmed", 0.97, 4 * 1920.0)
    assert row["workers"] == ["0", "1", "2", "3"]


def test_a_route_that_only_the_attribution_knows():
    """Where the leak names no route, what was found out of its type by route is said."""
    scene = Scene(leaks=(leak(route=""),))
    told = RouteGrowth(
        route="POST /cart/add",
        unit=LEAKING,
        requests=9,
        windows=9,
        kept=9.0,
        share=0.9,
        per_hour=9.0,
        per_request=Estimate(1.0, 0.9, 1.1),
    )
    scene.metrics[0] = dataclasses.replace(scene.metrics[0], route_growth=(told,))
    assert state(scene)["leaks"][0]["route"] == "POST /cart/add"


def test_types_that_leak_come_first():
    """Then those that grew most in the last hour."""
    found = state(Scene())["types"]
    assert [row["name"] for row in found[:2]] == [LEAKING, "builtins.dict"]
    assert found[0]["state"] == "confirmed"
    assert [row["change_hour"] for row in found[1:]] == sorted((row["change_hour"] for row in found[1:]), reverse=True)


def test_the_ledger_says_where_growth_is():
    """The parts add up to what is resident, and the answer is in words; a level worker is called level."""
    found = state(Scene())
    time, *parts = found["ledger"]["points"][-1]
    assert time == NOW
    assert sum(parts) == pytest.approx(found["workers"][0]["rss_mb"], abs=0.1)
    assert found["ledger"]["answer"] == "growth is Python objects, not native memory"
    assert state(Scene(leaks=()))["ledger"]["answer"] == "it is level"


def test_a_young_server_is_a_state_too():
    """No snapshot, no past, no listener: nothing is known, and nothing fails."""
    scene = Scene(leaks=(), workers=1)
    scene.metrics = [dataclasses.replace(scene.metrics[0], snapshot=None, censuses_taken=0, start_time=NOW)]
    scene.tracks.clear()
    found = checked(state(scene))
    assert found["verdict"]["label"] == "STILL LEARNING"
    assert found["ledger"] is None
    assert found["types"] == []
