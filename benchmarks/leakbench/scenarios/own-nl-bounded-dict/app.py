"""Answers are kept by a key that never comes again; at 6,000 the oldest goes."""

ANSWERS, MOST = {}, 6000


class Answer:
    def __init__(self, path):
        self.path, self.parts = path, [path, path]


def app(environ, start_response):
    path = environ["PATH_INFO"]
    ANSWERS[path] = Answer(path)
    if len(ANSWERS) > MOST:
        del ANSWERS[next(iter(ANSWERS))]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
