"""Events of the past, sent to the gateway in the order in which they were delivered."""

from __future__ import annotations

__all__ = ["deliveries", "report", "sender"]
