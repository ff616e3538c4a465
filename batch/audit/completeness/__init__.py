"""Numbered events that never arrived, and producers that fell silent."""

from __future__ import annotations

__all__ = ["check"]
