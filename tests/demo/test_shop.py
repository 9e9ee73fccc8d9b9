from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest


@pytest.fixture
def shop(examples) -> Any:
    return import_module("shop")


def test_each_visitor_leaves_a_session_behind(shop):
    """The leak is real: a cart makes a session, and neither a second product nor the checkout drops it."""
    for _ in range(50):
        key, _ = shop.add_to_cart(None, "7")
        assert shop.add_to_cart(key, "8")[0] == key
        shop.checkout(key)
    assert len(shop.SESSIONS) == 50
    assert all(type(session).__qualname__ == "Session" and session.page for session in shop.SESSIONS.values())


def test_a_session_limit_repairs_the_leak(shop, monkeypatch):
    """With a limit only the newest sessions are kept."""
    monkeypatch.setattr(shop, "SESSION_LIMIT", 3)
    keys = [shop.add_to_cart(None, "7")[0] for _ in range(10)]
    assert list(shop.SESSIONS) == keys[-3:]


def test_the_cache_fills_to_its_bound_and_no_further(shop):
    """The cache is none of the leaks: it holds the products asked for last, at most as many as its bound."""
    for number in range(1, shop.CACHE_SIZE + 101):
        shop.details(str(number))
        assert len(shop._cache) == min(number, shop.CACHE_SIZE)
    assert list(shop._cache) == list(range(101, shop.CACHE_SIZE + 101))


def test_search_finds_by_name_and_goes_through_the_cache(shop):
    """What a search shows holds the words, and is then in the cache."""
    found = shop.search("blue")
    assert found
    assert all("blue" in product["name"] for product in found)
    assert {product["number"] for product in found} <= set(shop._cache)


def test_an_order_costs_what_is_in_the_cart(shop):
    """The checkout adds up prices times pieces and empties the cart."""
    key, _ = shop.add_to_cart(None, "5")
    shop.add_to_cart(key, "5")
    shop.add_to_cart(key, "6")
    expected = 2 * shop.details("5")["price"] + shop.details("6")["price"]
    assert shop.checkout(key) == {"order": 1, "total": expected}
    with pytest.raises(shop.NotFoundError, match="empty"):
        shop.checkout(key)


@pytest.mark.parametrize("number", ["0", "999999", "-1", "1 OR 1=1", "", "9" * 50, "²"])
def test_what_is_not_there_is_not_found(shop, number):
    """A product number that does not exist, or is none, is answered with what is allowed."""
    with pytest.raises(shop.NotFoundError, match="from 1 to"):
        shop.details(number)


def test_a_temporary_database_goes_away_with_the_process(shop, monkeypatch):
    """Without a file of its own the shop makes one and leaves nothing behind."""
    monkeypatch.delenv("SHOP_DATABASE")
    registered = []
    monkeypatch.setattr(shop.atexit, "register", registered.append)
    assert len(shop.listing()) == 20
    path = shop.Path(shop._path())
    assert path.is_file()
    registered[0]()
    assert not path.exists()
