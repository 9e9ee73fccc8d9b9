"""Sessions live for 400 seconds. The clock is driven by the requests: their rate rises threefold and stays there."""

import collections

SESSIONS = collections.OrderedDict()
clock = [0.0, 0]
LIFE, RISES = 400.0, 9000


class Session:
    def __init__(self, now):
        self.until, self.cart = now + LIFE, []


def app(environ, start_response):
    clock[1] += 1
    clock[0] += 1 / (1 + 2 * min(1, clock[1] / RISES))
    SESSIONS[environ["PATH_INFO"]] = Session(clock[0])
    while SESSIONS and next(iter(SESSIONS.values())).until < clock[0]:
        SESSIONS.popitem(last=False)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(SESSIONS)).encode()]
