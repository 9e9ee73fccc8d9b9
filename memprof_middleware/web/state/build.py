"""Build the state: one JSON-ready value that ``api/state.json`` returns and the page is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memprof_middleware.analysis.sharing import shared_memory
from memprof_middleware.config import Config
from memprof_middleware.model import Alert, Leak, MemoryMetrics
from memprof_middleware.text.advice import advice_for
from memprof_middleware.web.state import inside
from memprof_middleware.web.state.decided import ignored
from memprof_middleware.web.state.fleet import sentence, workers
from memprof_middleware.web.state.growth import growth
from memprof_middleware.web.state.incidents import Incident, by_urgency, described, found, watching
from memprof_middleware.web.state.limits import StateContext, limit
from memprof_middleware.web.state.overview import overview
from memprof_middleware.web.state.series import BUCKETS, SPAN_SECONDS, last_life, part, rounded, thinned
from memprof_middleware.web.state.status import Learning, status
from memprof_middleware.web.state.timeline import timeline
from memprof_middleware.web.state.todo import fix_step, full_steps, learning_steps, now_step
from memprof_middleware.workers.timeline import Timeline

SCHEMA = 2
"""Grows when a field is renamed, removed or comes to mean something else; new fields alone do not change it."""

# The figures of every worker's timeline that a state needs; of some workers all are read.
NEEDED = ("pid", "rss_mb", "heap_used_mb")
# The most incidents with a picture: each needs the whole timeline of a worker.
_MOST_PICTURES = 3
_MOST_WATCHED = 50
_COUNTED = frozenset({"objects", "container", "untracked"})
_ABOUT: dict[str, Any] = {
    "host": "",
    "python": "",
    "version": "",
    "actions": [],
    "bundles": [],
    "page_ms": None,
    "page_cpu_percent": None,
    "replaced": None,
}


def build_state(
    metrics: Sequence[MemoryMetrics],
    timelines: Mapping[str, Timeline],
    detail: Callable[[str], Timeline | None],
    config: Config,
    alerts: Sequence[Alert] = (),
    *,
    now: float,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The state, as docs/page.md describes it and ``state.schema.json`` beside this module defines it.

    Args:
        metrics: the figures of every live worker.
        timelines: the timeline of every worker, by worker, with the figures in :data:`NEEDED`; workers that have ended
            may be among them.
        detail: returns the timeline of one worker with all figures and types.
        config: the settings of the worker that answers.
        alerts: the conditions that are met in the worker that answers.
        now: the time, in seconds since the epoch.
        about: further facts: ``host``, ``python``, ``version``, ``page_ms``, ``page_cpu_percent``, ``actions``,
            ``bundles``, ``replaced`` (whether the server replaces a worker that is ended; ``None``: not known).
    """
    return _StateBuilder(metrics, timelines, detail, config, alerts, now, _ABOUT | dict(about or {})).state()


class _StateBuilder:
    """The builder of one state. Arguments as for :func:`build_state`."""

    def __init__(
        self,
        metrics: Sequence[MemoryMetrics],
        timelines: Mapping[str, Timeline],
        detail: Callable[[str], Timeline | None],
        config: Config,
        alerts: Sequence[Alert],
        now: float,
        about: Mapping[str, Any],
    ) -> None:
        self.metrics, self.timelines, self.config, self.alerts = metrics, timelines, config, alerts
        self.now, self.about = now, about
        self.started = min((one.start_time for one in metrics), default=now)
        self.by_worker = {one.worker: one for one in metrics}
        self._detail, self._timelines = detail, dict[str, Timeline | None]()
        # The time of the first verdict, which limits depend on, follows from the rows alone.
        first = workers(metrics, {}, StateContext(config, now, None, len(metrics)))
        self.learning = Learning([row for row in first if row["live"]], config, now)
        due = None if self.learning.is_due else max(now, self.learning.due)
        self.context = StateContext(config, now, due, len(metrics))
        self.rows = workers(metrics, timelines, self.context)
        self.shared, self.shared_limit = self._shared()

    def past(self, worker: str) -> Timeline | None:
        """The timeline of one worker with all figures, read once."""
        if worker not in self._timelines:
            self._timelines[worker] = self._detail(worker)
        return self._timelines[worker]

    def state(self) -> dict[str, Any]:
        """The whole value."""
        every = found(self.metrics, self.rows)
        notable = [one for one in every if one.leak.notable or not one.is_open]
        cards = self._cards(notable)
        below = [watching(one) for one in every if one.is_open and not one.leak.notable]
        limits, left_out = self._limits(), ignored(self.metrics)
        focus = self._focus(cards)
        past = None if focus is None else self.past(focus["worker"])
        figures = None if focus is None else self.by_worker.get(focus["worker"])
        head = status(
            self.rows,
            limits,
            cards,
            self.learning,
            self.config,
            self.now,
            self.started,
            alerted=bool(self.alerts),
            ignored=sum(one["growth"] != "does not grow" for one in left_out),
            unjudged=max((one.failures.get("leaks", 0) for one in self.metrics), default=0),
        )
        first = None if head["limit"] is None else limits[head["limit"]]
        open_ = [card for card in cards if card["state"] != "resolved"]
        names = {card["name"]: card["state"] for card in open_ if card["kind"] == "objects"}
        counted = inside.types(past, names, self.now)
        objects = None if focus is None else focus["objects"]
        return {
            "schema": SCHEMA,
            "version": self.about["version"],
            "host": self.about["host"],
            "python": self.about["python"],
            "release": self.config.release or "",
            "now": round(self.now, 3),
            "started": round(self.started, 3),
            "interval_seconds": self.config.interval,
            "answering": next((row["pid"] for row in self.rows if row["answering"]), None),
            "actions": list(self.about["actions"]),
            "status": head,
            "limits": limits,
            "overview": [] if open_ else overview(self.rows, limits, first, self.timelines, self.context, self.started),
            "steps": self._steps() if head["key"] in {"learning", "started"} else [],
            "todo": self._todo(head["key"], first),
            "incidents": cards,
            "watching": below[:_MOST_WATCHED],
            "watching_answer": inside.watching_answer(len(below), judged=self.learning.is_due),
            "ignored": left_out,
            "workers": self.rows,
            "workers_sentence": sentence(self.rows),
            "shared": self.shared,
            "timeline": self._timeline(first),
            "alerts": [alert.to_dict() for alert in self.alerts],
            "focus": focus and {"worker": focus["worker"], "pid": focus["pid"]},
            "counts_age": inside.counts_age(focus, figures, self.config),
            "memory": inside.ledger(past, open_[0]["since"] if open_ else None, self.now),
            "types": counted,
            "types_answer": inside.types_answer(counted, objects),
            "bundles": list(self.about["bundles"]),
            "bundles_answer": inside.evidence_answer(self.about["bundles"], self.metrics, self.now),
            "gc": figures and inside.gc(figures, self.now),
            "cost": inside.cost(self.metrics, self.config, self.now, self.about),
        }

    def _shared(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        used = shared_memory([one.snapshot for one in self.metrics if one.snapshot])
        if used is None:
            return None, None
        forecast = next((one.forecast for one in self.metrics if one.forecast and one.forecast.shared), None)
        live = [row for row in self.rows if row["live"]]
        told = [leak for one in self.metrics for leak in (*one.leaks, *_ignored(one))]
        reported = [leak for leak in told if leak.notable and leak.state != "resolved"]
        figures = {
            "used_mb": used.used_mb,
            "size_mb": used.size_mb,
            "percent": used.percent,
            "contained": used.contained,
        }
        reached = limit(
            self.context,
            None if forecast is None else forecast.shared,
            reported,
            pid=None,
            contained=used.contained,
            used_mb=used.used_mb,
            limit_mb=used.size_mb,
            growth_mb=sum(row["growth_mb_per_hour"] or 0.0 for row in live),
            seen_seconds=max((row["growth_seen_seconds"] or 0.0 for row in live), default=None),
        )
        return figures, reached if used.size_mb is not None else None

    def _limits(self) -> list[dict[str, Any]]:
        """The limits of all workers that are not silent; the shared one only if it differs from a worker's own."""
        heard = [row["limit"] for row in self.rows if row["live"] and row["age_seconds"] is None]
        if not heard:
            heard = [row["limit"] for row in self.rows if row["live"]]
        if self.shared_limit is not None and len(self.metrics) > 1:
            heard.append(self.shared_limit)
        return heard

    def _cards(self, notable: Sequence[Incident]) -> list[dict[str, Any]]:
        # Of each worker: the time to its limit is that leak's.
        worst = {one.worker: max(map(_weight, _ignored(one)), default=_NOTHING) for one in self.metrics}
        for one in notable:
            if one.row is not None:
                worst[one.row["worker"]] = max(worst.get(one.row["worker"], _NOTHING), _weight(one.leak))
        cards = []
        for one in notable:
            reached = None
            if one.row is not None and worst[one.row["worker"]] == _weight(one.leak):
                reached = self.shared_limit if one.leak.shared_limit else one.row["limit"]
            cards.append((one, described(one, self.metrics, self.context, self.started, reached)))
        cards.sort(key=lambda pair: by_urgency(pair[1]))
        return [card | self._more(one, card, drawn=number < _MOST_PICTURES) for number, (one, card) in enumerate(cards)]

    def _more(self, one: Incident, card: Mapping[str, Any], *, drawn: bool) -> dict[str, Any]:
        """The steps, the age of the counts, and the picture of a card."""
        past = self.past(one.row["worker"]) if drawn and one.is_open and one.row is not None else None
        return {
            "advice": self._advice(one, card),
            "counts_age": self._counts_age(one),
            **growth(one.leak, past, card["limit"], card["pid"], self.now),
        }

    def _advice(self, one: Incident, card: Mapping[str, Any]) -> dict[str, Any]:
        others = self._free(one) if self.context.workers > 1 else None
        reached = card["limit"]
        # A suspicion asks for nothing; a limit that is near does, whatever fills it.
        is_near = one.leak.state == "suspected" and reached["counts"]
        urgent = reached["urgency"] if is_near else card["urgency"]
        now = now_step(one.leak, urgent, reached, one.row, others, self.config, self.now, self.about["replaced"])
        return {"now": now, "fix": fix_step(one.leak, advice_for(one.leak))}

    def _free(self, one: Incident) -> int:
        """The number of workers without a leak; 0 where one may have it too, or was not watched for as long."""
        others = [row for row in self.rows if row["live"] and row["worker"] not in one.workers]
        shown = (leak for worker in self.metrics if worker.worker not in one.workers for leak in worker.leaks)
        watched = all((row["up_seconds"] or 0.0) >= self.now - one.leak.since for row in others)
        return len(others) if watched and not any(map(one.has_kin, shown)) else 0

    def _counts_age(self, one: Incident) -> dict[str, Any] | None:
        if one.row is None or one.leak.kind not in _COUNTED:
            return None
        return inside.counts_age(one.row, self.by_worker.get(one.row["worker"]), self.config)

    def _focus(self, cards: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """The worker that is shown in detail: with the worst leak and the nearest limit, else the first of all."""
        having = cards[0]["workers"] if cards and cards[0]["state"] != "resolved" else []
        live = [row for row in self.rows if row["live"]]
        return next((row for row in live if row["worker"] in having), live[0] if live else None)

    def _steps(self) -> list[dict[str, Any]]:
        live = [row for row in self.rows if row["live"]]
        learning = self.learning
        if learning.learned >= learning.needed:
            return []
        return learning_steps(live, self.config, learning.learned, learning.pace, learning.due, self.now, self.started)

    def _todo(self, key: str, first: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        if key != "full" or first is None:
            return []
        live = [row for row in self.rows if row["live"] and row["used_mb"] is not None]
        fullest = max(live, key=lambda row: row["used_percent"] or 0.0)
        return full_steps(self.shared if first["pid"] is None else None, fullest, len(live), self.config)

    def _timeline(self, first: Mapping[str, Any] | None) -> dict[str, Any]:
        limits = [row["limit_mb"] for row in self.rows if row["limit_mb"]]
        own = min(limits, default=None if self.shared is None else self.shared["size_mb"])
        together = None
        if first is not None and first["subject"] == "container" and self.shared is not None:
            together = self._container()
        size = self.shared["size_mb"] if together is not None and self.shared is not None else own
        return timeline(self.rows, self.timelines, together, size, self.now)

    def _container(self) -> dict[str, Any] | None:
        worker = next((row["worker"] for row in self.rows if row["live"]), None)
        past = None if worker is None else self.past(worker)
        if past is None:
            return None
        first = last_life(past.figure("pid"))
        points = part(past.times, past.figure("container_used_mb"), self.now - SPAN_SECONDS, first)
        if len(points.times) < 2:
            return None
        return {"name": "container", "points": rounded(thinned(points, BUCKETS))}


_NOTHING = (False, False, 0.0, 0.0)


def _ignored(metrics: MemoryMetrics) -> list[Leak]:
    """Leaks that are not reported, and fill the memory all the same."""
    return [leak for one in metrics.ignored for leak in one.leaks]


def _weight(leak: Leak) -> tuple[bool, bool, float, float]:
    return leak.state != "resolved", leak.state == "confirmed", leak.bytes_per_hour, leak.confidence
