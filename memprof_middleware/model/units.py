"""Units."""

from __future__ import annotations

MB = 1024.0 * 1024.0
