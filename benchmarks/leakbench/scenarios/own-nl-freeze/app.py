"""A master that is about to fork freezes what it has and thaws it later: counts fall to nothing and come back."""

import gc

state = {"requests": 0, "tables": [{"row": [i]} for i in range(4000)]}


class Page:
    def __init__(self, path):
        self.path, self.parts = path, [path]


def app(environ, start_response):
    state["requests"] += 1
    if state["requests"] == 3000:
        gc.collect()
        gc.freeze()
    elif state["requests"] == 6000:
        gc.unfreeze()
    page = Page(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [page.path.encode()]
