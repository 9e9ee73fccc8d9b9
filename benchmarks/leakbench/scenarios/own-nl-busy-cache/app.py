"""Pages are kept once they are made. There are 10,000, equally often asked for; the last of them come late."""

PAGES = {}


class Page:
    def __init__(self, key):
        self.key, self.parts = key, [f"<p>{key} {i}</p>" for i in range(25)]


def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path.startswith("/page/"):
        key = path.rpartition("/")[2], int(query.rpartition("=")[2]) % 4
        if key not in PAGES:
            PAGES[key] = Page(key)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
