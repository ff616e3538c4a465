"""The gateway: events over HTTP into the log."""

from __future__ import annotations

__all__ = ["app"]
