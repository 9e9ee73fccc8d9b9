"""Several C functions as one call, in which no other thread runs and no collection starts."""

from __future__ import annotations

import collections
import gc
import itertools
import operator
from collections.abc import Callable
from functools import partial


def in_one_call(*steps: Callable[[], object]) -> None:
    """Run C functions one after the other, with nothing in between.

    ``gc.get_objects`` and ``gc.get_referrers`` give out tuples that another thread is just filling, and filling one
    fails with a SystemError as soon as anybody else holds it. In C code no other thread runs, but up to 3.11 any of it
    may start a collection, whose callbacks are Python code, in which threads take turns. So the collector is off
    within the call. It is asked, turned off and put back inside of it: whoever sees it afterwards sees it as it was,
    and what another thread decides about it stays.

    Args:
        steps: C functions that call nothing of the program.
    """
    was_on: list[bool] = []
    restore = map(operator.call, itertools.compress([gc.enable], was_on))
    program: list[Callable[[], object]] = [
        partial(was_on.extend, itertools.starmap(gc.isenabled, [()])),
        gc.disable,
        *steps,
        partial(next, restore, None),
    ]
    try:
        collections.deque(map(operator.call, program), maxlen=0)
    except BaseException:
        # A step has failed, for want of memory perhaps. The first call here: no thread has had a turn since.
        next(restore, None)
        raise
