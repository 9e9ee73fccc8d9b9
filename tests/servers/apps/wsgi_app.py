from common import BARE, SETTINGS, answer

from memprof_middleware import Config
from wsgi_memprof import MemProfMiddleware


def application(environ, start_response):
    body = answer(environ["PATH_INFO"])
    start_response("200 OK" if body else "404 Not Found", [("Content-Type", "text/plain")])
    return [body or b"nothing here"]


if not BARE:
    application = MemProfMiddleware(application, config=Config(**SETTINGS))
