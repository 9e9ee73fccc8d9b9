"""The README for a package index: links and picture as addresses, since an index knows none of the repository's files.

A hook of hatchling, run when the package is built. In the repository itself links are relative: they work in a clone,
in a fork and on every branch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_TARGET = re.compile(r"(!?)(\[[^\]]*\]\()(?!https?://|#)([^)\s]+\))")


def absolute(text: str, source: str) -> str:
    """The text with each relative link as an address.

    Args:
        text: Markdown.
        source: the address of the repository.
    """
    return _TARGET.sub(
        lambda found: f"{found[1]}{found[2]}{source}/{'raw' if found[1] else 'blob'}/main/{found[3]}", text
    )


class IndexReadme(MetadataHookInterface):
    """Puts the README into the metadata of the package."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set ``readme``, by the address in ``[project.urls]``."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": absolute(text, metadata["urls"]["Source"]),
        }
