"""A framework tells the route of a request to the middleware around it. Loads no profiler."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any


def tell(carrier: MutableMapping[str, Any], method: str | None, prefix: str, template: str | None) -> None:
    """Leave the label in the list that the middleware has put into a request; without one, nobody counts it.

    Args:
        carrier: the request's scope or environ.
        method: its method.
        prefix: what the application is mounted under.
        template: of its route; ``None``: none was found.
    """
    notes = carrier.get("memprof.request")
    if notes and template is not None:
        from memprof_middleware.web.http.visits import label_within  # there already: whoever left the list has it

        notes.append(label_within(notes, method or "", prefix, template))
