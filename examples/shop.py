"""A small shop, the same one on every host: product list, product page, search, cart, checkout.

It has one leak (``SESSIONS``: nobody ever removes a session) and one cache that only looks like one (``_cache``:
it grows to its bound and stays there). ``memprof demo`` shows that the profiler tells them apart.

Settings, from the environment:

* ``SHOP_DATABASE``: the SQLite file; by default a temporary one that goes away with the process.
* ``SHOP_SESSION_LIMIT``: how many sessions are kept, the newest; 0, the default, keeps all of them: the leak.
"""

from __future__ import annotations

import atexit
import os
import random
import sqlite3
import tempfile
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

CATALOGUE_SIZE = 3_000
CACHE_SIZE = 600
SESSION_LIMIT = int(os.environ.get("SHOP_SESSION_LIMIT", "0"))
COLOURS = ("black", "blue", "brown", "green", "grey", "orange", "purple", "red", "white", "yellow")
MATERIALS = (
    "bamboo",
    "canvas",
    "copper",
    "cork",
    "cotton",
    "glass",
    "leather",
    "linen",
    "oak",
    "silk",
    "steel",
    "wool",
)
THINGS = ("bag", "bowl", "chair", "clock", "cup", "hat", "lamp", "mirror", "pillow", "scarf", "table", "vase")
_PAGE = 20
_HITS = 6
_RELATED = 3


class NotFoundError(LookupError):
    """There is no such product or cart."""


@dataclass(slots=True)
class Product:
    """What is on sale; prices are in cents."""

    number: int
    name: str
    price: int
    description: str


@dataclass(slots=True)
class Session:
    """A visitor: what is in the cart (product number to pieces), and the cart's page, kept to answer faster."""

    key: str
    cart: dict[int, int] = field(default_factory=dict)
    page: str = ""


SESSIONS: OrderedDict[str, Session] = OrderedDict()
_cache: OrderedDict[int, Product] = OrderedDict()
_lock = threading.Lock()


def listing() -> list[dict[str, Any]]:
    """The front page: the cheapest products."""
    with _database() as database:
        rows = database.execute("SELECT number, name, price FROM product ORDER BY price, number LIMIT ?", (_PAGE,))
        return [{"number": number, "name": name, "price": price} for number, name, price in rows]


def details(number: str) -> dict[str, Any]:
    """One product's page.

    Raises:
        NotFoundError: no such product.
    """
    product = _product(_parsed(number))
    return {
        "number": product.number,
        "name": product.name,
        "price": product.price,
        "description": product.description,
    }


def search(words: str) -> list[dict[str, Any]]:
    """A few of the products whose name holds the words."""
    with _database() as database:
        query = "SELECT number FROM product WHERE name LIKE ? ORDER BY random() LIMIT ?"
        numbers = database.execute(query, (f"%{words}%", _HITS)).fetchall()
    found = [_product(number) for (number,) in numbers]
    return [{"number": product.number, "name": product.name, "price": product.price} for product in found]


def add_to_cart(key: str | None, number: str) -> tuple[str, dict[str, Any]]:
    """Put a product into a visitor's cart; returns the session's key, for the cookie, and the cart.

    Raises:
        NotFoundError: no such product.
    """
    product = _product(_parsed(number))
    related = [_product(1 + (product.number + step) % CATALOGUE_SIZE) for step in range(_RELATED)]
    with _lock:
        session = SESSIONS.get(key or "")
        if session is None:
            session = Session(uuid.uuid4().hex)
            SESSIONS[session.key] = session  # the leak: nothing ever takes it out again, not even the checkout
            while 0 < SESSION_LIMIT < len(SESSIONS):
                SESSIONS.popitem(last=False)
        pieces = session.cart.get(product.number, 0)
        session.cart[product.number] = pieces + 1
        session.page = "\n".join(f"<h2>{p.name}</h2><p>{p.description}</p>" for p in (product, *related))
        return session.key, {"cart": dict(session.cart), "related": [p.name for p in related]}


def checkout(key: str | None) -> dict[str, Any]:
    """Turn a visitor's cart into an order.

    Raises:
        NotFoundError: no cart, or an empty one.
    """
    with _lock:
        session = SESSIONS.get(key or "")
        cart = dict(session.cart) if session else {}
        if session is not None:
            session.cart.clear()
    if not cart:
        raise NotFoundError("the cart is empty")
    total = sum(_product(number).price * pieces for number, pieces in cart.items())
    with _database() as database, database:
        order = database.execute("INSERT INTO purchase (total) VALUES (?)", (total,)).lastrowid
    return {"order": order, "total": total}


def _parsed(number: str) -> int:
    return int(number) if number.isdecimal() and len(number) < 10 else 0


def _product(number: int) -> Product:
    """From the cache, else from the database; the product that was asked for longest ago makes room."""
    with _lock:
        if number in _cache:
            _cache.move_to_end(number)
            return _cache[number]
    with _database() as database:
        row = database.execute("SELECT number, name, price, description FROM product WHERE number = ?", (number,))
        found = row.fetchone()
    if found is None:
        raise NotFoundError(f"there is no such product: numbers go from 1 to {CATALOGUE_SIZE}")
    with _lock:
        product = _cache.setdefault(number, Product(*found))
        while len(_cache) > CACHE_SIZE:
            _cache.popitem(last=False)
    return product


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    with _lock:
        path = _path()
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        yield connection


@cache
def _path() -> str:
    """The database's file, with the shop's products in it; made when first asked for."""
    path = os.environ.get("SHOP_DATABASE") or _temporary()
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute("BEGIN IMMEDIATE")  # several workers may start at once
        database.execute("CREATE TABLE IF NOT EXISTS purchase (number INTEGER PRIMARY KEY, total INTEGER)")
        columns = "number INTEGER PRIMARY KEY, name TEXT, price INTEGER, description TEXT"
        database.execute(f"CREATE TABLE IF NOT EXISTS product ({columns})")
        if database.execute("SELECT count(*) FROM product").fetchone() == (0,):
            database.executemany("INSERT INTO product VALUES (?, ?, ?, ?)", _catalogue())
            database.execute("CREATE INDEX product_price ON product (price)")
    return path


def _catalogue() -> Iterator[tuple[int, str, int, str]]:
    chance = random.Random(2)  # the same shop each time
    praise = [f"A {colour} that goes with any {thing}." for colour in COLOURS for thing in THINGS]
    for number in range(1, CATALOGUE_SIZE + 1):
        name = f"{chance.choice(COLOURS)} {chance.choice(MATERIALS)} {chance.choice(THINGS)}"
        yield (
            number,
            name,
            chance.randrange(500, 50_000),
            f"{name} no. {number}: {' '.join(chance.choices(praise, k=60))}",
        )


def _temporary() -> str:
    handle, path = tempfile.mkstemp(prefix="shop-", suffix=".sqlite3")
    os.close(handle)
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # a forked worker that ends must not take it from the others
            Path(path).unlink(missing_ok=True)

    atexit.register(remove)
    return path
