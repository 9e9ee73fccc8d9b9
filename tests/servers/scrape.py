"""One answer of ``/metrics``, read."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


class Scrape:
    """One answer of ``/metrics``."""

    def __init__(self, text: str) -> None:
        self.text = text
        families = list(text_string_to_metric_families(text))
        self.values = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }
        self.families = [family.name for family in families]

    def of(self, name: str, **labels: str) -> dict[str, float]:
        """A metric's samples by worker, those with these labels if any are given."""
        return {
            dict(found)["worker"]: value
            for (full, found), value in self.values.items()
            if full == f"fogcompute_memory_{name}" and labels.items() <= dict(found).items()
        }

    @property
    def start_times(self) -> dict[str, float]:
        """Which incarnation of each worker is shown."""
        return self.of("worker_start_time_seconds")

    @property
    def answered(self) -> str:
        """The worker that answered."""
        return next(worker for worker, value in self.of("worker_answered").items() if value)

    @property
    def counters(self) -> dict[object, float]:
        """Every counter, with the incarnation of its worker."""
        started = self.start_times
        return {
            (name, labels, started[dict(labels)["worker"]]): value
            for (name, labels), value in self.values.items()
            if name.endswith("_total")
        }
