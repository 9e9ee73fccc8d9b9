"""Rules are read again every 2,500 requests: for a moment there are two sets of them, and each differs in size."""

import random

chance = random.Random(3)
state = {"rules": (), "requests": 0}


class Rule:
    def __init__(self, number):
        self.number, self.match = number, {"path": [f"/{number}"]}


def read():
    return {number: Rule(number) for number in range(5000 + chance.randrange(600))}


def app(environ, start_response):
    if state["requests"] % 2500 == 0:
        state["rules"] = read()
    state["requests"] += 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(state["rules"])).encode()]
