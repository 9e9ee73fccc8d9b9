"""Allocations become stacks that a reader can use."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from memprof_middleware.flame.folding import CUT, fold, fold_frameworks
from memprof_middleware.model.flame import Frame, RawFrame, RawStack, stacks_from_dict, stacks_to_dict

KINDS = {"o": "own", "f": "framework", "l": "library", "s": "stdlib", "p": "profiler"}


def name(frame):
    """``o1`` is a frame of the application's own, ``f1`` one of a framework's, and so on."""
    return Frame(f"{KINDS[frame.file[0]]}/{frame.file}.py", f"f{frame.line}", KINDS[frame.file[0]])


def raw(path, size=10, *, cut=False):
    return RawStack(size, 1, tuple(RawFrame(file, 1, "") for file in path.split()), cut)


def frames(path):
    return tuple(name(RawFrame(file, 1, "")) for file in path.split())


def test_equal_stacks_are_one():
    """Lines of one function on the same way add up, in bytes and in blocks; the heaviest stack comes first."""
    stacks, size, blocks, left_out = fold([raw("o1 l1"), raw("o1 l1", 30), raw("o2", 100)], name)
    assert [(stack.size, stack.blocks) for stack in stacks] == [(100, 1), (40, 2)]
    assert (size, blocks, left_out) == (140, 3, 0)


def test_the_profilers_own_work_does_not_show():
    """What our thread allocates is left out, also inside a library that it calls."""
    assert fold([raw("s1 p1 p2 l1"), raw("p1")], name)[0] == ()


def test_our_frames_on_the_way_to_the_application_are_left_out():
    """A middleware of ours stands between server and application: the stack is shown without it."""
    (stack,), *_ = fold([raw("f1 p1 f2 o1 l1")], name)
    assert stack.frames == frames("f1 f2 o1 l1")


def test_direct_recursion_is_one_frame():
    """A function that calls itself, or runs a comprehension, shows once in a row."""
    (stack,), *_ = fold([raw("o1 o1 o1 l1 o1")], name)
    assert stack.frames == frames("o1 l1 o1")


def test_a_cut_stack_says_so():
    """Where the window was not deep enough, the missing root is a frame of its own."""
    (stack,), *_ = fold([raw("o1 l1", cut=True)], name)
    assert stack.frames == (CUT, *frames("o1 l1"))


def test_only_the_largest_are_kept():
    """A result has a bound, and the bytes beyond it are told."""
    stacks, size, _, left_out = fold([raw(f"o{number}", number) for number in range(1, 101)], name, most=10)
    assert [stack.size for stack in stacks] == list(range(100, 90, -1))
    assert size == 5050
    assert left_out == 5050 - sum(range(91, 101))


def test_framework_runs_fold():
    """Server, framework and the library code between them are one step on the way to the application's own code."""
    assert fold_frameworks(frames("s1 f1 s2 f2 o1 s3 l1")) == (frames("s1 f1 s2 f2"), *frames("o1 s3 l1"))


def test_the_frame_that_allocates_is_never_folded():
    """The last frame is what allocates: it stays, whosever it is."""
    assert fold_frameworks(frames("o1 f1 f2 f3")) == (*frames("o1"), frames("f1 f2"), *frames("f3"))
    assert fold_frameworks(frames("f1")) == frames("f1")
    assert fold_frameworks(()) == ()


def test_a_run_without_a_framework_is_none():
    """Library code that an application calls keeps its frames."""
    assert fold_frameworks(frames("o1 s1 s2 l1")) == frames("o1 s1 s2 l1")


def test_where_a_stack_was_cut_does_not_matter_in_a_framework():
    """A stack that lost its root inside the framework begins with the same step as one that did not."""
    assert fold_frameworks((CUT, *frames("f2 o1 l1"))) == (frames("f2"), *frames("o1 l1"))
    assert fold_frameworks((CUT, *frames("o1 l1"))) == (CUT, *frames("o1 l1"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("ofls", min_size=1, max_size=16), st.integers(1, 10**9)), max_size=30))
def test_no_byte_is_lost(given_stacks):
    """Whatever the stacks, their bytes are those that went in, and they survive the way through a file."""
    raws = [raw(" ".join(f"{kind}1" for kind in path), size) for path, size in given_stacks]
    stacks, size, blocks, left_out = fold(raws, name)
    assert sum(stack.size for stack in stacks) + left_out == size == sum(one.size for one in raws)
    assert blocks == len(raws)
    assert stacks_from_dict(stacks_to_dict(stacks)) == stacks
