"""Each reservation sets a timer that would release it in a day; paying does not cancel the timer."""

import asyncio
import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
DAY = 86400


class Reservation:
    def __init__(self, number):
        self.number, self.seats = number, [number, number + 1]


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    reservation = Reservation(int(scope["path"].rpartition("/")[2]))

    def release():
        reservation.seats.clear()

    timer = asyncio.get_running_loop().call_later(DAY, release)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"paid"})
    if not LEAK:
        timer.cancel()
