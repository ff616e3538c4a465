"""A Spark session, and what its Python workers do for themselves."""

from __future__ import annotations

__all__ = ["session", "worker"]
