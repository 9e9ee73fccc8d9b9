"""A report object for each request, with a cached method: the cache is the class's and keeps each of them."""

import functools
import os

from flask import Flask, jsonify

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
app = Flask(__name__)


class Report:
    def __init__(self, number):
        self.number, self.rows = number, [number] * 5

    @functools.lru_cache(maxsize=None if LEAK else 50)
    def total(self):
        return sum(self.rows)


@app.route("/report/<int:number>")
def report(number):
    return jsonify(total=Report(number).total())
