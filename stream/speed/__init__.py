"""The speed layer: log → speed view."""

from __future__ import annotations

__all__ = ["catch_up", "query"]
