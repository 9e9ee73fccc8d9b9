"""What entries weigh, which is the oldest, and what bounds and lifetimes containers name."""

from __future__ import annotations

import collections
import functools
import gc
import io
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from memprof_middleware.heap import roots, weights
from memprof_middleware.heap.containers import Container, find_containers
from memprof_middleware.heap.entries import LRU
from memprof_middleware.heap.turnover import Turnover
from memprof_middleware.heap.weights import aged_bytes, entry_bytes, oldest_of, size_of

KEPT: dict[str, Any] = {}
GROWN: list[Any] = []


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    yield
    KEPT.clear()


def found(path: str) -> Container:
    walks = (find_containers(most_seconds=10.0) for _ in range(20))  # a large process is seen in parts
    return next(one for walk in walks for one in walk.found if one.path == f"{__name__}.{path}")


@pytest.mark.parametrize("size", [100, 10_000, 1_000_000])
def test_an_entry_weighs_what_only_it_refers_to(size: int) -> None:
    """The bytes of a value and its key; what all entries share belongs to none."""
    shared = bytes(5_000_000)
    kept = {f"key {number}": [bytes(size), shared] for number in range(100)}
    assert entry_bytes(kept, dict) == pytest.approx(size + 250, abs=150)


def test_instances_are_weighed_with_their_attributes() -> None:
    """One step further down: a session with a list of texts."""

    class Session:
        def __init__(self, number: int) -> None:
            self.texts = ["x" * 1000 + str(number) + str(text) for text in range(10)]

    kept = [Session(number) for number in range(50)]
    assert entry_bytes(kept, list) == pytest.approx(11_200, rel=0.1)


def test_a_text_buffer_weighs_what_was_written() -> None:
    """Its own ``__sizeof__`` leaves the text out; a closed one has none."""

    class Trace(io.StringIO):
        def tell(self) -> int:
            raise AssertionError("the program's code ran")

    for buffer in (io.StringIO(), Trace()):
        empty = size_of(buffer)
        buffer.write("x" * 5_000)
        assert size_of(buffer) == empty + 5_000
        buffer.close()
        assert size_of(buffer) == empty


@pytest.mark.parametrize("kind", [list, dict, collections.deque])
def test_entries_that_get_heavier_with_age_are_weighed_at_half_of_it_too(kind: Any) -> None:
    """Each gets 1 kB whenever another one comes. Those that were there at first are left out, however heavy."""
    first, came = [io.BytesIO(bytes(10_000_000)) for _ in range(50)], 200
    each = [*first, *(io.BytesIO(bytes(1_000 * (came - number))) for number in range(came))]
    kept = {f"key {number}": one for number, one in enumerate(each)} if kind is dict else kind(each)
    assert entry_bytes(kept, kind) == pytest.approx(
        1_000 * (250 / 8 + 12), rel=0.1
    )  # of the newest an eighth is left out
    assert aged_bytes(kept, kind, came) == pytest.approx(1_000 * came / 2, rel=0.1)
    assert aged_bytes(kept, kind, 20) is None


def test_the_walk_weighs_what_has_come_since_the_first_look() -> None:
    """Nothing on the first walk; then entries from the middle of what has come."""
    turnover = Turnover()
    GROWN.extend(io.BytesIO(bytes(50_000)) for _ in range(100))
    try:
        assert _walked(turnover).aged_bytes is None
        GROWN.extend(io.BytesIO(bytes(2_000)) for _ in range(100))
        assert _walked(turnover).aged_bytes == pytest.approx(2_100, abs=150)
    finally:
        GROWN.clear()


def _walked(turnover: Turnover) -> Container:
    walks = (find_containers(most_seconds=10.0, turnover=turnover) for _ in range(20))
    return next(one for walk in walks for one in walk.found if one.path == f"{__name__}.GROWN")


def _growth(add: Callable[[int], object], number: int) -> float:
    """Bytes that Python allocates for each call, once it is warm."""
    for turn in range(100):
        add(turn)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for turn in range(100, 100 + number):
            add(turn)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / number
    finally:
        tracemalloc.stop()


class _Cart:
    def __init__(self, number: int) -> None:
        self.number, self.items = number + 1_000, [str(number)]

    def price(self) -> int:
        return self.number


def _closure(number: int) -> Callable[[], object]:
    cart = _Cart(number)
    return lambda: cart


def _declined(number: int) -> None:
    amount = [number]
    raise ValueError(f"declined {amount}")


def _raised(number: int) -> Exception:
    try:
        _declined(number)
    except ValueError as error:
        return error
    raise AssertionError(number)


def _declared(number: int) -> type:
    class Form(_Cart):
        column = number

        def total(self) -> int:
            return self.column

    return Form


def _decorated(number: int) -> Callable[[], object]:
    return functools.wraps(_closure)(_closure(number))


_LINKS: list[Any] = [None]


def _linked(number: int) -> tuple[Any, str]:
    _LINKS[0] = (_LINKS[0], f"a text of some length, {number}")
    return _LINKS[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "make",
    [
        _closure,
        _decorated,
        _raised,
        _linked,
        lambda number: _Cart(number).price,
        lambda number: functools.partial(_Cart.price, _Cart(number)),
        lambda number: [[[[[{"number": number + 1_000}]]]]],
        lambda number: [_Cart(number * 100 + part) for part in range(100)],
        lambda number: [[_Cart(number * 100 + part) for part in range(40)] for _ in range(12)],
        lambda number: type(
            "Form", (_Cart,), {"__annotations__": {f"column{part}": str for part in range(number % 9)}}
        ),
        lambda number: (_declared(number), _Cart(number)),
    ],
    ids=[
        *("closure", "decorated", "exception", "linked", "method", "partial", "nested", "large", "a client", "class"),
        "its class",
    ],
)
def test_an_entry_weighs_what_memory_gains_with_it(make: Callable[[int], object]) -> None:
    """Within a quarter of what the allocator counts, also of functions, frames and classes made for an entry."""
    kept: list[object] = []
    true = _growth(lambda number: kept.append(make(number)), 300)
    assert entry_bytes(kept, list) == pytest.approx(true, rel=0.25)


@pytest.mark.parametrize("most", [None, 500])
def test_a_cached_call_weighs_its_arguments_and_its_result(most: int | None) -> None:
    """Texts too, of which the collector knows nothing."""
    cached = functools.lru_cache(most)(lambda number: f"{number} " * 200)
    true = _growth(cached, 300)
    assert entry_bytes(cached, LRU) == pytest.approx(true, rel=0.25)


def test_what_some_entries_share_belongs_to_none_with_all_below() -> None:
    """Ten users of a thousand baskets weigh nothing in these, nor do their texts."""
    users = [{"name": ["a long name " * 100 + str(number)]} for number in range(10)]
    kept = [{"user": users[number % 10], "what": f"number {number}"} for number in range(1_000)]
    assert entry_bytes(kept, list) == pytest.approx(300, abs=60)


def test_what_is_there_for_a_moment_is_not_weighed() -> None:
    """The newest ten of two hundred are requests under way, heavier than what stays."""
    kept = {f"key {number}": bytes(1_000) for number in range(190)}
    kept |= {f"request {number}": bytes(100_000) for number in range(10)}
    assert entry_bytes(kept, dict) == pytest.approx(1_150, abs=100)


def test_what_a_program_says_of_its_size_is_not_asked() -> None:
    """A method of the program is no code of ours to run."""

    class Liar(dict[str, int]):
        def __sizeof__(self) -> int:
            raise AssertionError("it ran")

    assert size_of(Liar(a=1)) >= sys.getsizeof({"a": 1}) - 100


@pytest.mark.parametrize(
    ("make", "base"), [(dict.fromkeys, dict), (list, list), (collections.deque, collections.deque)]
)
def test_the_oldest_entry_changes_when_it_goes(make: Callable[[Any], Any], base: type) -> None:
    """It stays while the container grows, and is another one when the first is dropped."""
    ones = [object() for _ in range(20)]
    first = oldest_of(make(ones[:10]), base)
    assert oldest_of(make(ones), base) == first
    assert oldest_of(make(ones[1:]), base) != first
    assert oldest_of(set(ones), set) is None


@pytest.mark.parametrize("users", [3, 300])
def test_bounds_behind_a_star_add_up(users: int) -> None:
    """A bounded queue for each user has a bound: the sum; one queue without a bound, and there is none."""
    KEPT["queues"] = {number: collections.deque(range(1_000), maxlen=5_000) for number in range(users)}
    assert found("KEPT[*][*]").bound == 5_000 * users
    KEPT["queues"][users] = collections.deque(range(1_000))
    assert found("KEPT[*][*]").bound is None


class Sessions(dict[int, object]):
    """A store that names the lifetime of its entries."""

    def __init__(self) -> None:
        super().__init__({number: object() for number in range(20)})
        self.ttl = 1800


def test_a_lifetime_by_its_own_word() -> None:
    """A store with ``ttl=1800`` drops its entries after half an hour, and is judged after twice that."""
    KEPT["sessions"] = Sessions()
    assert found("KEPT[*]").lifetime == 1800


def _wrapping(function: Callable[[], None]) -> Callable[[], None]:
    @functools.wraps(function)
    def wrapper() -> None:
        function()

    return wrapper


def test_a_closure_with_a_borrowed_name_is_no_root() -> None:
    """``functools.wraps`` copies the name; the code knows that a function made it."""
    wrapped: Any = _wrapping(test_a_closure_with_a_borrowed_name_is_no_root)
    assert "<locals>" not in wrapped.__qualname__
    assert roots.is_nested(wrapped)
    assert not roots.is_nested(_wrapping)  # type: ignore[arg-type]


def test_a_class_made_at_run_time_is_no_root() -> None:
    """Its name leads nowhere: who keeps it holds it."""
    made = type("Form", (), {"__module__": __name__})
    assert roots.is_made_at_run_time(made)
    assert not roots.is_made_at_run_time(Sessions)
    assert not roots.is_made_at_run_time(dict)


def test_a_class_that_compares_by_code_of_its_own_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look for buffers, from 3.12 on, goes by identity: it asks no metaclass whether two classes are equal."""

    class Comparing(type):
        __hash__ = type.__hash__

        def __eq__(cls, other: object) -> bool:
            raise RuntimeError("asked")

    class Entry(metaclass=Comparing):
        __slots__ = ()

    monkeypatch.setattr(weights, "_KNOWS_BUFFER", True)
    each = entry_bytes([Entry() for _ in range(100)], list)
    assert each is not None
    assert each > 0
