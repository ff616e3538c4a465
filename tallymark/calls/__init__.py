"""Calls to servers that may fail: who is called next, and when a call is tried again."""

from __future__ import annotations

__all__ = ["breaker", "retry"]
