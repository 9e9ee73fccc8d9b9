"""A flame graph as SVG: stacks in, markup out, without style attributes and scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from html import escape

from memprof_middleware.flame.folding import fold_frameworks
from memprof_middleware.model import MB
from memprof_middleware.model.flame import Frame, Stack
from memprof_middleware.model.value import valueclass
from memprof_middleware.text.words import MINUS, signed, size

# Frames below this percentage are too narrow to click; a hostile tree would make 17 MB of them.
CUT_PERCENT = 0.15
MOST_FRAMES = 2000
_ROW = 19
# Below this width a label would show its first letter only.
_LABEL_PERCENT = 1.2
_CLASSES = {"own": "own", "framework": "fw"}
_MOST_NAMES = 4
# A change below this share of the bytes of two windows is no difference.
_SAME = 0.05


@dataclasses.dataclass(slots=True)
class _Node:
    """A frame under its callers; of a folded run: the packages in it, and the fewest and most frames it has.

    ``before``: of its bytes, those of an earlier window that is drawn with this one.
    """

    label: str
    kind: str
    size: int = 0
    before: int = 0
    where: str = ""
    packages: dict[str, None] = dataclasses.field(default_factory=dict)
    fewest: int = 0
    most: int = 0
    children: dict[str, _Node] = dataclasses.field(default_factory=dict)

    def named(self) -> str:
        if not self.packages:
            return self.label
        frames = f"{self.most}" if self.fewest == self.most else f"{self.fewest}-{self.most}"
        names = ", ".join([*list(self.packages)[:_MOST_NAMES], *(["..."] if len(self.packages) > _MOST_NAMES else [])])
        return f"{frames} framework frame{'s' if self.most > 1 else ''} ({names})"


@valueclass(frozen=True, slots=True)
class Picture:
    """A flame graph: the markup, the number of its frames, and the number of frames too narrow to draw."""

    svg: str
    drawn: int
    left_out: int


def draw(
    stacks: Iterable[Stack],
    *,
    before: Iterable[Stack] | None = None,
    cut_percent: float = CUT_PERCENT,
    most: int = MOST_FRAMES,
) -> Picture:
    """Draw stacks: the root on top, the heaviest to the left, width for bytes.

    Args:
        stacks: bytes by call stack.
        before: an earlier window to compare with: width is then the bytes of both, so that freed memory shows too.
        cut_percent: frames narrower than this percentage are left out.
        most: the most frames; beyond, the narrowest are left out.
    """
    root, nodes = _tree(stacks, before or ())
    if not root.size:
        return Picture("", 0, 0)
    wide = [
        (100 * node.size / root.size, depth, x, node)
        for node, depth, x in _walk(root)
        if node.size * 100 >= cut_percent * root.size
    ]
    if len(wide) > most:
        # A parent is never narrower than its child, and stands before it where both are as wide.
        keep = {id(row[3]) for row in sorted(wide, key=lambda row: (-row[0], row[1]))[:most]}
        wide = [row for row in wide if id(row[3]) in keep]
    depth = max(row[1] for row in wide)
    one = _frame if before is None else _compared_frame
    frames = "".join(one(node, level, x, width) for width, level, x, node in wide)
    compared = "" if before is None else ' data-compared="1"'
    what = "Memory allocated in the window and still held" if before is None else "Difference of two windows"
    svg = (
        f'<svg class="flame" id="flame" role="list" aria-label="{what}, by call stack"'
        f'{compared} width="100%" height="{(depth + 1) * _ROW}">{frames}</svg>'
    )
    return Picture(svg, len(wide), nodes - len(wide))


def _tree(stacks: Iterable[Stack], before: Iterable[Stack]) -> tuple[_Node, int]:
    root, nodes = _Node("all", "library"), 1
    rows = [(stack, 0) for stack in stacks] + [(stack, stack.size) for stack in before]
    for (nbytes, _, frames), earlier in rows:
        root.size += nbytes
        root.before += earlier
        node = root
        for step in fold_frameworks(frames):
            run = step if not isinstance(step, Frame) else None
            # One node for all folded runs: the cut and the middleware of a stack do not matter.
            key = "\0framework" if run is not None else f"{step.label}"  # type: ignore[union-attr]
            child = node.children.get(key)
            if child is None:
                nodes += 1
                child = node.children[key] = _child(step)
            if run is not None:
                child.packages.update(dict.fromkeys(_packages(run)))
                child.fewest, child.most = min(child.fewest, len(run)), max(child.most, len(run))
            child.size += nbytes
            child.before += earlier
            node = child
    return root, nodes


def _child(step: Frame | tuple[Frame, ...]) -> _Node:
    if isinstance(step, Frame):
        return _Node(step.label, step.kind, where=step.where if step.line else "")
    return _Node("framework frames", "framework", fewest=len(step), most=len(step))


def _packages(run: tuple[Frame, ...]) -> list[str]:
    places = (frame.place.removeprefix("bin/") for frame in run if frame.kind == "framework")
    return [place.partition("/")[0].removesuffix(".py") for place in places]


def _walk(root: _Node) -> Iterator[tuple[_Node, int, float]]:
    """Each node with its depth and its left edge in percent, a parent before its children."""
    waiting = [(root, 0, 0.0)]
    while waiting:
        node, depth, x = waiting.pop()
        yield node, depth, x
        row = []
        for child in sorted(node.children.values(), key=lambda child: (-child.size, child.label)):
            row.append((child, depth + 1, x))
            x += 100 * child.size / root.size
        waiting.extend(reversed(row))


def _frame(node: _Node, depth: int, x: float, width: float) -> str:
    words = f"{held(node.size)}, {width:.1f} %"
    return _drawn(node, depth, x, width, _CLASSES.get(node.kind, "lib"), words, "")


def _compared_frame(node: _Node, depth: int, x: float, width: float) -> str:
    """A frame of a comparison; colour and sign agree, so that the picture can be read without colours."""
    after = node.size - node.before
    sign, kind = _change_of(node.before, after)
    words = f"{held(node.before)} before, {held(after)} after, {grown(after - node.before)}"
    return _drawn(node, depth, x, width, kind, words, f"{sign} ")


def _change_of(before: int, after: int) -> tuple[str, str]:
    """The sign and the class of a change; none below 5 % of the bytes of both."""
    share = (after - before) / max(1, before + after)
    if abs(share) < _SAME:
        return "=", "same"
    return ("+", "grew") if share > 0 else (MINUS, "shrank")


def _drawn(node: _Node, depth: int, x: float, width: float, kind: str, words: str, sign: str) -> str:
    name = node.named()
    where = f" ({escape(node.where)})" if node.where else ""
    late = "" if width > _LABEL_PERCENT else ' class="late"'
    return (
        f'<svg class="f {kind}" role="listitem" x="{x:.3f}%" y="{depth * _ROW}" '
        f'width="{width:.3f}%" height="{_ROW - 1}" data-d="{depth}" data-b="{node.size}">'
        f"<title>{escape(name)}: {words}{where}</title>"
        f'<rect width="100%" height="100%"/><text x="4" y="13"{late}>{sign}{escape(_short(name))}</text></svg>'
    )


def _short(name: str) -> str:
    """The name without its folders; an ``__init__.py`` keeps the folder of its package."""
    if name.endswith(")"):
        return name
    head, _, tail = name.rpartition("/")
    return f"{head.rpartition('/')[2]}/{tail}" if head and tail.startswith("__init__.py") else tail


def held(nbytes: int) -> str:
    """Bytes in words."""
    return size(nbytes / MB)


def grown(nbytes: int) -> str:
    """A change of bytes in words, with its sign."""
    return signed(held(nbytes)) if nbytes else held(0)


def by_own_code(stacks: Iterable[Stack], most: int = 10) -> list[tuple[str, int]]:
    """Bytes by the last function of the application on the call stack, the highest first."""
    sums: dict[str, int] = {}
    for nbytes, _, frames in stacks:
        own = next((frame.label for frame in reversed(frames) if frame.kind == "own"), None)
        if own is not None:
            sums[own] = sums.get(own, 0) + nbytes
    return sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


def by_place(stacks: Iterable[Stack], most: int = 10) -> list[tuple[str, int]]:
    """Bytes by the function that allocated them, the highest first."""
    sums: dict[str, int] = {}
    for nbytes, _, frames in stacks:
        sums[frames[-1].label] = sums.get(frames[-1].label, 0) + nbytes
    return sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
