"""The stream layer: the gateway, the log, and the two that read it, archive and speed."""

from __future__ import annotations

__all__ = ["commands", "log"]
