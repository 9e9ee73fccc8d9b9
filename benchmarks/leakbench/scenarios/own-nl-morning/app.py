"""Baskets live for 40 minutes, and from minute to minute more people come: the store follows the morning."""

import collections

LIFE = 40.0
BASKETS = collections.OrderedDict()


class Basket:
    def __init__(self, until, number):
        self.until, self.lines = until, [f"{number}-{i}" for i in range(30)]


def app(environ, start_response):
    now = float(environ["QUERY_STRING"].rpartition("=")[2])
    path = environ["PATH_INFO"]
    if path.startswith("/basket/"):
        BASKETS[path] = Basket(now + LIFE, path.rpartition("/")[2])
    while BASKETS and next(iter(BASKETS.values())).until < now:
        BASKETS.popitem(last=False)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(BASKETS)).encode()]
