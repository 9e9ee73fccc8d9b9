"""The labelled applications, as their folders tell: what makes traffic, what leaks, who holds it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any

OWN = Path(__file__).with_name("scenarios")
# The corpus lies beside the project's main folder, or beside the folder of its worktrees.
_SHARED = (Path(__file__).parents[i] / "shared" / "corpus" / "scenarios" for i in (3, 4))
# A label without a series is of so many samples.
_SAMPLES = 30
# What a label's text calls a place: a module's global, a class's attribute.
_CHAIN = re.compile(r"^(?:module|class) ([\w.]+)(?:\['(\w+)'\]|\.(\w+))?")
_DOTTED = re.compile(r"\b[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\b")
_NOBODY = re.compile(r"^none\b|no root among tracked|held in native|untracked C|invisible to the gc", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One folder: an application, its pins and its label.

    Attributes:
        folder: where it lies.
        label: ``label.json``, as it is.
    """

    folder: Path
    label: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def own(self) -> bool:
        """Whether it is one of the project's, which anybody can run."""
        return self.folder.parent == OWN

    @property
    def leaks(self) -> bool:
        return bool(self.label["leaks"])

    @property
    def requests(self) -> int:
        """How many requests it takes until the label can be told from what is seen."""
        return int(self.label["requests"])

    @property
    def step(self) -> int:
        """Requests between two samples when the label was measured; traffic profiles have an entry for each."""
        if "step" in self.label:
            return int(self.label["step"])
        if "series" not in self.label:
            return max(1, self.requests // _SAMPLES)
        requests = self.label["series"]["requests"]
        return int(requests[1] - requests[0])

    @property
    def pythons(self) -> list[str]:
        given = self.label["python"]
        return [given] if isinstance(given, str) else list(given)

    @property
    def variants(self) -> list[str]:
        """``buggy``, and ``fixed`` where there is a twin."""
        return ["buggy", "fixed"] if self.leaks and self.label.get("fixed_by") else ["buggy"]

    @property
    def culprits(self) -> list[str]:
        """The types to be named; none where no tracked type grows."""
        return list(self.label.get("culprit_types", ()))

    @property
    def companions(self) -> list[str]:
        """Types that grow with the culprit: part of the same incident."""
        growth = self.label.get("growth_per_1000_requests") or {}
        return [*growth.get("types", {}), *growth.get("other_types", {})]

    @property
    def nobody(self) -> bool:
        """Whether the true answer is that no object holds it that Python can see."""
        chains = [chain for chains in (self.label.get("holder_chains") or {}).values() for chain in chains]
        return bool(_NOBODY.search(self.label.get("holder", ""))) or any(map(_NOBODY.search, chains))

    @property
    def places(self) -> list[str]:
        """The names of what holds it, such as ``app.TASKS``; by the measured chains, else by the label's text."""
        if not self.leaks:
            return []
        chains = (chain for chains in (self.label.get("holder_chains") or {}).values() for chain in chains)
        found = [".".join(filter(None, match.groups())) for match in map(_CHAIN.match, chains) if match]
        text = self.label.get("holder", "")
        # Where it begins; what follows the arrow is held by that.
        found += [] if found or _NOBODY.search(text) else _DOTTED.findall(re.split(r" -> ", text)[0])
        found += list(self.label.get("places", ()))
        return list(dict.fromkeys(found))

    def requirements(self, variant: str) -> list[str]:
        """The pins of a variant."""
        path = self.folder / f"requirements-{variant}.txt"
        if not path.exists():  # twins by code share them
            path = self.folder / "requirements-buggy.txt"
        lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
        return [line for line in lines if line]


def read(folder: Path) -> Scenario:
    """The scenario in a folder."""
    return Scenario(folder, json.loads((folder / "label.json").read_text()))


def folders() -> list[Path]:
    """Where scenarios lie: our own, and the corpus where there is one (``LEAKBENCH_CORPUS`` names another)."""
    named = os.environ.get("LEAKBENCH_CORPUS")
    corpus = Path(named) if named else next((path for path in _SHARED if path.is_dir()), None)
    return [path for path in (corpus, OWN) if path is not None and path.is_dir()]


def find(folder: Path) -> list[Scenario]:
    """The scenarios below a folder, by name."""
    return [read(path.parent) for path in sorted(folder.glob("*/label.json"))]
