"""The embedded log, one SQLite file."""

from __future__ import annotations

__all__ = ["log", "source"]
