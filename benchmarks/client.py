"""A small HTTP client that keeps a server busy, for machines without wrk; tells the same as ``slice.lua``."""

from __future__ import annotations

import asyncio
import time

_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def drive(port: int, seconds: float, connections: int) -> dict[str, float]:
    """Requests and latencies (milliseconds) of so many connections that each wait for their answer.

    Raises:
        RuntimeError: the server answered nothing at all.
    """
    return asyncio.run(_drive(port, seconds, connections))


async def _drive(port: int, seconds: float, connections: int) -> dict[str, float]:
    began = time.perf_counter()
    found = await asyncio.gather(*(_connection(port, began + seconds) for _ in range(connections)))
    took = time.perf_counter() - began
    latencies = sorted(1000 * latency for one, _ in found for latency in one)
    if not latencies:
        raise RuntimeError(f"no answer from port {port} in {seconds} s")
    return {
        "requests": len(latencies),
        "seconds": took,
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[len(latencies) * 99 // 100],
        "max": latencies[-1],
        "errors": sum(errors for _, errors in found),
    }


async def _connection(port: int, until: float) -> tuple[list[float], int]:
    latencies: list[float] = []
    errors = 0
    reader: asyncio.StreamReader | None = None
    while (began := time.perf_counter()) < until:
        try:
            if reader is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_REQUEST)
            closes = await _answer(reader)
        except (OSError, asyncio.IncompleteReadError):
            reader = None
            errors += 1
            continue
        latencies.append(time.perf_counter() - began)
        if closes:
            writer.close()
            reader = None
    if reader is not None:
        writer.close()
    return latencies, errors


async def _answer(reader: asyncio.StreamReader) -> bool:
    """Read one answer; whether the server closes the connection after it."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return b"connection: close" in head
