"""What the promise's own check finds: an answer that breaks it is seen, one that keeps it is let through."""

from __future__ import annotations

from typing import Any

import pytest

from tallymark.event import Event
from tallymark.instants import Minute, instant
from tests.support.promise import MINUTE_MS, Asked, Ledger, broken

_MINUTE = 29_000_000
_KEPT = {
    "end": f"{instant(Minute(_MINUTE + 1)):%FT%TZ}",
    "value": 10,
    "late_pending": 0,
    "lower": 10,
    "upper": 10,
    "exact": False,
    "freshness_ms": 500,
    "degraded": [],
}


def ledger_of(events: int) -> Ledger:
    """Acknowledged now, in one minute of the video `v`."""
    ledger = Ledger()
    each = [Event(event_id=f"e{n}", type="view", video_id="v", occurred_at=_MINUTE * MINUTE_MS) for n in range(events)]
    ledger.acknowledged(ledger.sending(each))
    return ledger


def asked_of(ledger: Ledger, *, later: float = 1.0, start: int = _MINUTE, **told: Any) -> Asked:
    """So many seconds after all was acknowledged."""
    at = ledger.table()["v"][:, 2].max() + later
    return Asked("v", start, _MINUTE + 1, at, at + 0.01, _KEPT | told)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"exact": True},
        {"value": 7, "late_pending": 3, "lower": 7},
        {"value": 4, "lower": 4, "later": 0.2},  # what came in the last half second need not be known
        {"value": 0, "lower": 0, "start": _MINUTE + 1},
        {"value": 0, "lower": 0, "end": f"{instant(Minute(_MINUTE)):%FT%TZ}"},  # of a range that ended at now
        {"value": None, "degraded": ["stream"]},
    ],
)
def test_an_answer_that_keeps_the_promise_is_let_through(told: dict[str, Any]) -> None:
    ledger = ledger_of(10)
    assert broken([asked_of(ledger, **told)], ledger) == []


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({"value": 9, "lower": 9}, "unknown"),
        ({"value": 9, "lower": 9, "late_pending": 2}, "counted twice"),
        ({"value": 11, "upper": 11}, "counted twice"),
        ({"value": 7, "late_pending": 3, "lower": 7, "upper": 9}, "outside of its bounds"),
        ({"lower": 11, "upper": 11}, "outside of its bounds"),
        ({"value": 7, "late_pending": 3, "exact": True}, "not exact"),
        ({"exact": True, "upper": 12}, "not exact"),
        ({"value": None}, "does not say why"),
    ],
)
def test_an_answer_that_breaks_it_is_told(told: dict[str, Any], wrong: str) -> None:
    ledger = ledger_of(10)
    (said,) = broken([asked_of(ledger, **told)], ledger)
    assert wrong in said
