"""One port for the exporters of several processes: the kernel picks who answers a scrape, and each shows all."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import socket

from memprof_middleware.errors import ExporterError
from memprof_middleware.model.clean import clean

# How long whoever has the port may take to say whose it is. A worker whose job holds the interpreter answers later.
_ASK_SECONDS = 2.0
_MOST_BYTES = 4096


def check_owner(host: str, port: int, group: str) -> None:
    """Make sure that a port is free or belongs to this group: two groups on one port would answer in turns.

    One that does not answer in time, or is no exporter of a group, is left to the bind that follows.

    Raises:
        ExporterError: it belongs to another group.
    """
    owner = owner_of(host, port)
    if owner is not None and owner != group:
        raise ExporterError(
            f"port {port} on {host} belongs to the exporter of another application, {owner!r}: choose another port "
            f"for {group!r}, or give both the same group"
        )


def owner_of(host: str, port: int) -> str | None:
    """The group of the exporter that answers on a port; ``None``: nobody answers, or no exporter of a group does."""
    connection = http.client.HTTPConnection(_reachable(host), port, timeout=_ASK_SECONDS)
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        try:
            connection.request("GET", "/health")
            told = json.loads(connection.getresponse().read(_MOST_BYTES))
        finally:
            connection.close()
        if isinstance(told, dict) and isinstance(told.get("group"), str):
            return clean(told["group"])
    return None


def keep(host: str, port: int) -> socket.socket:
    """Bind to a port beside those that serve there, and never listen: no scrape can come here.

    A parent that keeps it, and lets its children inherit it, is seen by them as the one that replaces workers
    (:func:`memprof_middleware.probes.listening.keeper`): what was found in a child that was killed goes on in the next.

    Raises:
        OSError: it is taken.
    """
    kept = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind((host, port))
    except OSError:
        kept.close()
        raise
    return kept


def _reachable(host: str) -> str:
    """An address under which one that listens on all of them can be asked."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            return "127.0.0.1" if address.version == 4 else "::1"
    return host
