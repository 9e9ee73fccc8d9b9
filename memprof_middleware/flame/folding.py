"""Fold allocations into stacks: without our own work, equal stacks added, and a maximum number."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from memprof_middleware.model.flame import DEPTH, Frame, RawFrame, RawStack, Stack

# Kept of one window: the largest. A result is a file in memory, and a picture shows at most 2,000 frames.
MOST_STACKS = 5000
CUT = Frame(f"(deeper than {DEPTH} frames)", "", "cut")


def fold(
    raw: Iterable[RawStack], name: Callable[[RawFrame], Frame], most: int = MOST_STACKS
) -> tuple[tuple[Stack, ...], int, int, int]:
    """Put equal stacks together.

    Args:
        raw: what an engine saw.
        name: a frame's name for a reader.
        most: how many stacks are kept.

    Returns:
        The stacks, the largest first; bytes and blocks of all of them; bytes of the ones not kept.
    """
    known: dict[RawFrame, Frame] = {}
    sums: dict[tuple[Frame, ...], list[int]] = {}
    for size, blocks, raw_frames, cut in raw:
        frames: list[Frame] = []
        for raw_frame in raw_frames:
            frame = known.get(raw_frame)
            if frame is None:
                frame = known[raw_frame] = name(raw_frame)
            if not frames or frame != frames[-1]:  # a comprehension in its function, or direct recursion
                frames.append(frame)
        path = _without_profiler(frames, cut=cut)
        if path:
            total = sums.setdefault(path, [0, 0])
            total[0] += size
            total[1] += blocks
    found = sorted((Stack(size, blocks, path) for path, (size, blocks) in sums.items()), key=lambda s: -s.size)
    return (
        tuple(found[:most]),
        sum(stack.size for stack in found),
        sum(stack.blocks for stack in found),
        sum(stack.size for stack in found[most:]),
    )


def _without_profiler(frames: list[Frame], *, cut: bool) -> tuple[Frame, ...]:
    """The stack without our frames; nothing if the memory is ours: no code of the application's lies below our last."""
    ours = [number for number, frame in enumerate(frames) if frame.kind == "profiler"]
    if ours:
        below = frames[ours[-1] + 1 :]
        if not any(frame.kind in {"own", "framework"} for frame in below):
            return ()
        frames = [frame for frame in frames if frame.kind != "profiler"]
    return (CUT, *frames) if cut else tuple(frames)


def fold_frameworks(frames: tuple[Frame, ...]) -> tuple[Frame | tuple[Frame, ...], ...]:
    """The stack with each run of framework frames as one tuple.

    The standard library's frames between and beside them belong to the run: nobody looks for a leak in ``socketserver``
    on the way to a view. The last frame stays alone: it is the one that allocates. A stack that was cut begins with a
    run as well, if a framework was cut: where exactly is chance.
    """
    folded: list[Frame | tuple[Frame, ...]] = []
    run: list[Frame] = []

    def end_run() -> None:
        frameworks = sum(frame.kind == "framework" for frame in run)
        if frameworks and len(run) > 1:
            folded.append(tuple(frame for frame in run if frame.kind != "cut"))
        else:
            folded.extend(run)
        run.clear()

    for frame in frames[:-1]:
        if frame.kind in {"framework", "stdlib", "cut"}:
            run.append(frame)
        else:
            end_run()
            folded.append(frame)
    end_run()
    return (*folded, *frames[-1:])
