"""A class for each import, and nothing keeps it: classes refer to themselves, and wait for a full collection."""


class Form:
    def __init__(self, **values):
        self.values = values


def app(environ, start_response):
    if environ["PATH_INFO"].startswith("/import/"):
        form = type("ImportForm", (Form,), {f"column{i}": property(lambda _, i=i: i) for i in range(12)})
        form(name="x")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
