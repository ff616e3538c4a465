"""The serving layer: one answer of both views, over HTTP."""

from __future__ import annotations

__all__ = ["commands"]
