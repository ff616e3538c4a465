"""What became of a producer's events, and where they are now."""

from __future__ import annotations

from dataclasses import dataclass

from tallymark.client.sending.gateways import GatewayState

__all__ = ["ProducerState"]


@dataclass(frozen=True, kw_only=True)
class ProducerState:
    """Since this life of the producer began. `problem`: why nothing is being delivered now; None while all is well."""

    producer_id: str
    accepted: int
    rejected: int
    dropped: int
    in_memory: int
    in_memory_bytes: int
    on_disk: int
    problem: str | None
    gateways: tuple[GatewayState, ...]
