"""The archive: log → raw table, and dead letters."""

from __future__ import annotations

__all__ = ["query"]
