"""The speed layer: log → speed view."""

from __future__ import annotations

__all__ = ["query"]
