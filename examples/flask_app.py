"""The shop on Flask. Run it with ``gunicorn --threads 4 flask_app:app``."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

import shop
from flask_memprof import MemProf

app = Flask(__name__)
MemProf(app)  # the one line: profiler, alerts in app.logger, /metrics, and the command `flask memprof`


@app.get("/")
def index() -> Response:
    return jsonify(shop.listing())


@app.get("/products/<number>")
def product(number: str) -> Response:
    return jsonify(shop.details(number))


@app.get("/search")
def search() -> Response:
    return jsonify(shop.search(request.args.get("q", "")))


@app.post("/cart")
def cart() -> tuple[Response, int]:
    key, content = shop.add_to_cart(request.cookies.get("session"), request.args.get("product", ""))
    response = jsonify(content)
    response.set_cookie("session", key)
    return response, 201


@app.post("/checkout")
def checkout() -> tuple[Response, int]:
    return jsonify(shop.checkout(request.cookies.get("session"))), 201


@app.errorhandler(shop.NotFoundError)
def not_found(error: shop.NotFoundError) -> tuple[Response, int]:
    return jsonify(error=str(error)), 404
