"""The clients: `Producer` sends events, `Counts` asks. Both speak HTTP, and need neither Spark nor a store.

    from tallymark.client import Counts, Producer

    with Producer("http://127.0.0.1:8401") as send:
        send.count_view_event("ATL", user_id="u-17")

    with Counts("http://127.0.0.1:8400") as counts:
        counts.count("ATL", last="24h").value

What goes over the wire is in `wire` and `audits`; the servers use the same structs. Names load when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tallymark.client.async_producer import AsyncProducer
    from tallymark.client.counts import Ask, Counts
    from tallymark.client.courier import Courier, Retry
    from tallymark.client.producer import Producer, ProducerState
    from tallymark.client.wire import Answer, Rejection, Series, Stats, Verdict
    from tallymark.event import Event

__all__ = [
    "Answer",
    "Ask",
    "AsyncProducer",
    "Counts",
    "Courier",
    "Event",
    "Producer",
    "ProducerState",
    "Rejection",
    "Retry",
    "Series",
    "Stats",
    "Verdict",
]

_HOMES: Final = {
    "tallymark.client.async_producer": ("AsyncProducer",),
    "tallymark.client.counts": ("Ask", "Counts"),
    "tallymark.client.courier": ("Courier", "Retry"),
    "tallymark.client.producer": ("Producer", "ProducerState"),
    "tallymark.client.wire": ("Answer", "Rejection", "Series", "Stats", "Verdict"),
    "tallymark.event": ("Event",),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tallymark.client' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
