"""Documents are watched by weak references with a callback; the references are kept in a list and never taken out."""

import os
import weakref

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
WATCHED = []


class Document:
    def __init__(self, number):
        self.number, self.text = number, "text"


def watch(document):
    number = document.number

    def gone(reference):
        if not LEAK:
            WATCHED.remove(reference)
        return number

    WATCHED.append(weakref.ref(document, gone))


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    document = Document(int(scope["path"].rpartition("/")[2]))
    watch(document)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": document.text.encode()})
