"""Records that are no events: looked at, taken out, mended, and sent by the front door, once (ADR 59)."""

from __future__ import annotations

__all__ = ["fix", "replay", "report"]
