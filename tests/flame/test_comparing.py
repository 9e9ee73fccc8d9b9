"""Two windows beside each other."""

from __future__ import annotations

from memprof_middleware.flame.comparing import Change, by_function, collapsed_pair
from memprof_middleware.model.flame import Frame, Stack

VIEW, STORE = Frame("shop/views.py", "cart", "own"), Frame("shop/cart.py", "remember", "own")
LOADS = Frame("json/__init__.py", "loads", "stdlib")


def test_each_function_has_both_figures():
    """A stack counts for the last function of the application's own; who grew most stands first, who shrank last."""
    before = [Stack(100, 1, (VIEW, STORE, LOADS)), Stack(50, 1, (VIEW, LOADS)), Stack(7, 1, (LOADS,))]
    after = [Stack(400, 4, (VIEW, STORE, LOADS)), Stack(7, 1, (LOADS,))]
    assert by_function(before, after) == [
        Change("shop/cart.py:remember", 100, 400),
        Change("json/__init__.py:loads", 7, 7),
        Change("shop/views.py:cart", 50, 0),
    ]
    assert [change.grown for change in by_function(before, after)] == [300, 0, -50]


def test_a_stack_of_one_window_has_nothing_in_the_other():
    """The file for flamegraph.pl has two figures for each stack, 0 where a window does not have it."""
    lines = collapsed_pair([Stack(5, 1, (VIEW,))], [Stack(8, 1, (VIEW, Frame("a;b.py", "f", "own")))])
    assert lines == "shop/views.py:cart 5 0\nshop/views.py:cart;a,b.py:f 0 8\n"
