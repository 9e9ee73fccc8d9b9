"""The kind of a leak, by the object at the beginning of its path."""

from __future__ import annotations

import collections
from typing import Any

from memprof_middleware.heap.attributes import Attributes
from memprof_middleware.heap.entries import GROWING, LRU, cache_info, container_base, is_class, length_of, mro_of
from memprof_middleware.heap.resolve import Root
from memprof_middleware.probes.census import type_name

_METRICS = ("prometheus_client.", "opentelemetry.", "statsd.", "datadog.")
_maxlen = collections.deque.maxlen.__get__


def shape_of(root: Root) -> str:
    """The key of the advice that fits what is at the beginning of a path; empty if it says nothing special.

    Args:
        root: the beginning of the path.
    """
    if not root.objects:
        return ""
    kinds = [type_name(base) for one in root.objects for base in mro_of(type(one))]
    if "_thread._local" in kinds or "_contextvars.ContextVar" in kinds:
        return "thread_kept"
    if any(kind.startswith(_METRICS) for kind in kinds):
        return "metric_labels"
    last, owner = root.objects[-1], root.objects[-2] if len(root.objects) > 1 else None
    if root.names[-1] in {"handlers", "filters"} and "logging.Filterer" in kinds:
        return "log_handler"
    base = container_base(type(last))
    if base is None:
        return ""
    return _of_cache(last, owner) if base is LRU else _of_container(last, owner, base)


def _of_cache(cache: Any, owner: Any) -> str:
    if owner is not None and is_class(type(owner)):
        return "lru_method"
    return "lru_unbounded" if cache_info(cache).maxsize is None else "cache_too_large"


def _of_container(container: Any, owner: Any, base: type) -> str:
    attributes, length = Attributes(), length_of(container, base)
    if base is collections.deque and _maxlen(container) is not None:
        return "cache_too_large"
    # A container's own word, or that of the object whose attribute it is.
    own = container if type(container) is not base else owner
    if own is not None and not is_class(type(own)):
        if attributes.bound(own, length) is not None:
            return "cache_too_large"
        if attributes.lifetime(own) is not None:
            return "ttl_rising"
    if base is dict:
        return "module_mapping"
    return "module_list" if id(base) in GROWING else ""
