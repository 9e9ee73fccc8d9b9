from common import BARE, SETTINGS, answer
from flask import Flask, request

from flask_memprof import MemProf

application = Flask("shop")
application.config.from_mapping({f"MEMPROF_{key.upper()}": value for key, value in SETTINGS.items()})


@application.get("/leak")
@application.get("/inside")
def view():
    return answer(request.path)


if not BARE:
    MemProf(application)
