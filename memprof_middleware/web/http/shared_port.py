"""One port for the exporters of several processes: the kernel chooses one for a scrape, and each shows all."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import socket

from memprof_middleware.errors import ExporterError
from memprof_middleware.model.clean import clean

# Seconds in which the process that has the port must name its group. A worker with a busy interpreter takes longer.
_ASK_SECONDS = 2.0
_MOST_BYTES = 4096


def check_owner(host: str, port: int, group: str) -> None:
    """Check that a port is free or belongs to this group: two groups on one port would answer in turns.

    A server that does not answer in time, or is not an exporter of a group, makes the following bind fail.

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
    """The group of the exporter that answers on a port; ``None``: no exporter of a group answers."""
    connection = http.client.HTTPConnection(_reachable(host), port, timeout=_ASK_SECONDS)
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        try:
            connection.request("GET", "/health")
            found = json.loads(connection.getresponse().read(_MOST_BYTES))
        finally:
            connection.close()
        if isinstance(found, dict) and isinstance(found.get("group"), str):
            return clean(found["group"])
    return None


def keep(host: str, port: int) -> socket.socket:
    """Bind to a shared port and never listen: this socket gets no scrapes.

    Children that inherit it take the parent for the process that replaces workers
    (:func:`memprof_middleware.probes.listening.keeper`): the successor of a killed child inherits its findings.

    Raises:
        OSError: the port is taken.
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
    """The address to connect to for a listening address, also if that is all addresses."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            return "127.0.0.1" if address.version == 4 else "::1"
    return host
