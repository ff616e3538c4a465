"""Counts that become exact: a recount with what the settings name, and one right after the first post."""

from __future__ import annotations

__all__ = ["first_commit", "recount"]
