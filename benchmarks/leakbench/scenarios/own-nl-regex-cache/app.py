"""Search by pattern: re keeps the last 512, and strptime the formats that it has seen."""

import re
import time

FORMATS = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y")


def app(environ, start_response):
    word = environ["PATH_INFO"].rpartition("/")[2]
    found = re.search(rf"(?P<year>\d+)-({word}|other)+", f"2026-{word}")
    time.strptime("2026-11-25", FORMATS[0])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [found.group("year").encode()]
