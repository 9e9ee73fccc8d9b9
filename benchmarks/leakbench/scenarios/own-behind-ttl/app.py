"""Sessions end after 20 minutes; the price list goes on telling each of them. The store is right, the list is not."""

import collections
import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
LIFE = 20.0
SESSIONS = collections.OrderedDict()


class Session:
    def __init__(self, until, name):
        self.until, self.seen = until, [f"{name}-{i}" for i in range(25)]

    def on_price(self, item):
        self.seen.append(item)


class PriceList:
    def __init__(self):
        self._watchers = {}

    def watch(self, session):
        self._watchers[id(session)] = session.on_price

    def forget(self, session):
        del self._watchers[id(session)]


prices = PriceList()


def app(environ, start_response):
    now = float(environ["QUERY_STRING"].rpartition("=")[2])
    if environ["PATH_INFO"].startswith("/login/"):
        name = environ["PATH_INFO"].rpartition("/")[2]
        SESSIONS[name] = session = Session(now + LIFE, name)
        prices.watch(session)
    while SESSIONS and next(iter(SESSIONS.values())).until < now:
        _, session = SESSIONS.popitem(last=False)
        if not LEAK:
            prices.forget(session)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(SESSIONS)).encode()]
