"""Lines of text in datagrams, over UDP or a Unix socket."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from memprof_middleware.errors import ConfigError
from memprof_middleware.sinks.sink import SinkError

# What fits an Ethernet frame unfragmented, and what agents read from a Unix socket at once.
_MOST_UDP_BYTES, _MOST_UNIX_BYTES = 1432, 8192
# A Unix socket takes ten datagrams or so until the agent reads: then there is a wait, in a thread that may wait.
_SEND_SECONDS = 1.0


class Datagrams:
    """Sends lines to an agent, as many to a datagram as fit.

    Args:
        address: ``udp://host:port`` or ``unix:///path``.
        where: a sentence that tells what says where the agent is, for errors.

    Raises:
        ConfigError: the address is neither.
    """

    def __init__(self, address: str, where: str) -> None:
        self._address, self._where = address, where
        self._host, self._port, self._path = _parsed(address, where)
        self._most = _MOST_UNIX_BYTES if self._path else _MOST_UDP_BYTES
        self._socket: socket.socket | None = None

    def send(self, lines: Iterable[str]) -> None:
        """Send them all, in order; over UDP nobody tells whether they arrived.

        Raises:
            SinkError: the agent is not there, or does not read. What was sent before is sent.
        """
        try:
            connected = self._socket or self._connect()
            for datagram in packed(lines, self._most):
                connected.send(datagram)
            _raise_pending(connected)
        except OSError as error:
            self.close()  # the next delivery looks the address up anew: an agent that restarted has a new socket
            raise SinkError(
                f"{self._address} cannot be reached ({_reason(error)}): does the agent run? {self._where}"
            ) from error

    def close(self) -> None:
        """Give the socket up; :meth:`send` makes another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        family: int
        target: Any
        if self._path:
            family, target = socket.AF_UNIX, self._path
        else:
            family, _, _, _, target = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.settimeout(_SEND_SECONDS)
        self._socket.connect(target)  # so that a refusal is heard of
        return self._socket


def packed(lines: Iterable[str], most: int) -> Iterator[bytes]:
    """Lines as datagrams of so many bytes at the most; one that is longer by itself is sent by itself."""
    datagram = b""
    for line in lines:
        encoded = line.encode()
        if datagram and len(datagram) + 1 + len(encoded) > most:
            yield datagram
            datagram = encoded
        else:
            datagram = datagram + b"\n" + encoded if datagram else encoded
    if datagram:
        yield datagram


def _parsed(address: str, where: str) -> tuple[str, int, str]:
    wrong = ConfigError(
        f"address={address!r} is not valid; allowed: udp://host:port or unix:///path/to/socket; {where}"
    )
    try:
        parts = urlsplit(address)
        port = parts.port or 0
    except ValueError:
        raise wrong from None
    if parts.scheme in {"unix", "unixgram"} and Path(parts.path).is_absolute() and not parts.netloc:
        return "", 0, parts.path
    if parts.scheme == "udp" and parts.hostname and port and not parts.path.strip("/"):
        return parts.hostname, port, ""
    raise wrong


def _raise_pending(connected: socket.socket) -> None:
    # That nobody listens on this machine is known at once, but would be told with the next datagram only.
    if error := connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, "nobody listens there")


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"it reads nothing for {_SEND_SECONDS:g} s"
    return error.strerror or type(error).__name__
