"""The fixture ``memprof``: the same as :func:`memprof_middleware.testing.assert_no_leak`. Unused, it loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Protocol

    class AssertNoLeak(Protocol):
        """The type of the fixture."""

        def __call__(
            self, work: Callable[[], object], requests: int = 20, confirm: int = 2000, ignore: Collection[str] = ()
        ) -> None:
            """Fail if the work keeps something each time it is done."""


__all__ = ["memprof"]


@pytest.fixture(scope="session")
def memprof() -> AssertNoLeak:
    """Fail if a piece of work keeps memory each time: ``memprof(lambda: client.get("/cart"))``."""
    from memprof_middleware.testing import assert_no_leak

    return assert_no_leak
