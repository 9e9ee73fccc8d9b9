"""Statistics by country and by user agent: five outer keys, and inner dictionaries that never stop to grow."""

import os

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
STATISTICS = {country: {"agents": {}, "visits": 0} for country in ("de", "fr", "pl", "es", "it")}


def app(environ, start_response):
    token = environ["PATH_INFO"].rpartition("/")[2]
    entry = STATISTICS[("de", "fr", "pl", "es", "it")[int(token[-1], 16) % 5]]
    entry["visits"] += 1
    agent = f"Mozilla/5.0 (X11; build {token}) " + "x" * 60
    if LEAK or len(entry["agents"]) < 40:
        entry["agents"][agent] = token
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
