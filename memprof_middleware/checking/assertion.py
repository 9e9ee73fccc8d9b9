"""The assertion for tests."""

from __future__ import annotations

from collections.abc import Callable, Collection

from memprof_middleware.checking.check import findings
from memprof_middleware.checking.finding_text import all_in_words, leak_of
from memprof_middleware.model import Leak

_CALL = "call"


class LeakError(AssertionError):
    """The work keeps something each time.

    Attributes:
        leaks: what, one for each place.
    """

    def __init__(self, message: str, leaks: tuple[Leak, ...]) -> None:
        super().__init__(message)
        self.leaks = leaks


def assert_no_leak(
    work: Callable[[], object], requests: int = 20, confirm: int = 2000, ignore: Collection[str] = ()
) -> None:
    """Fail if a piece of work keeps something each time it is done.

    It is done ``7 * requests`` times, with a full collection after each round of ``requests``. Only if something grows
    in each round it is done ``confirm`` times more: a cache fills, a leak goes on. A container that says itself how
    large it may become (``maxlen``, ``maxsize``) is never a leak. Log records and warnings of the work are shown to
    nobody meanwhile. Memory of C extensions that Python does not count is not seen.

    Args:
        work: a function without arguments, or a coroutine function.
        requests: of one round. A leak in one of a hundred requests needs 200.
        confirm: how often it is done to be sure.
        ignore: names of types, containers or holders that may grow; ``*`` stands for anything, as in ``shop.cache*``.

    Raises:
        LeakError: it does; an ``AssertionError`` that says what is kept, who holds it and what to do.
        ConfigError: an argument is of the wrong type or out of range.
    """
    __tracebackhide__ = True
    patterns = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    found = [(leak_of(one, _CALL), one) for one in findings(work, requests, confirm, patterns)]
    if found:
        raise LeakError(all_in_words(found, _CALL), tuple(leak for leak, _ in found))
