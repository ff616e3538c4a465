"""How events get from the caller to a gateway (ADR 53).

    process_event ──▶ outbox ──▶ sender ──▶ courier ──▶ gateways, in turn ──▶ connection
                        │  ▲
                        ▼  │  while no gateway takes them, or the outbox is half full
                       spill, a file

Events have positions: 0, 1, 2 … in the order of making, first what an earlier process left in the spill. The lowest
that is not settled is sent next. What is below the first position in memory, and not settled, is in the spill.
"""

from __future__ import annotations

__all__ = [
    "connection",
    "gateways",
    "ids",
    "life",
    "metrics",
    "outbox",
    "outcomes",
    "process",
    "rule",
    "sender",
    "spill",
    "state",
]
