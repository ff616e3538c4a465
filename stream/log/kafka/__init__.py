"""The log on Kafka. Nothing else speaks to Kafka."""

from __future__ import annotations

__all__ = ["admin", "log", "source"]
