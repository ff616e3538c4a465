"""What an audit puts on file, for tests of those who read it."""

from __future__ import annotations

from datetime import UTC, datetime

from tallymark.documents.audit_record import AuditRecord, Causes, Completeness, Figures, HourFigures, Unheard
from tallymark.instants import minute_of

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def an_audit(version: int) -> AuditRecord:
    """A record as the audit puts it on file, but for its number."""
    return AuditRecord(
        number=0,
        verdict="warned",
        started_at=NOON,
        finished_at=NOON,
        start=NOON,
        until=NOON,
        version=version,
        epoch=2,
        budget=0.01,
        hours=1,
        empty=3,
        not_compared=["an hour"],
        figures=Figures(equal=5, differing=2, batch=100, speed=98, under=3, over=1),
        causes=Causes(late=3, duplicates=1),
        by_type=[],
        by_hour=[HourFigures(minute_of(NOON), 100, 98, 3, 1, 0)],
        worst=[],
        videos=[],
        lateness={},
        expectations=[],
        bounds="none yet",
        report="/reports/1.html",
        completeness=Completeness(
            checked_until=NOON,
            rows=100,
            numbered=90,
            producers=2,
            expected=1,
            missing=4,
            found=1,
            gaps=[],
            silent=[Unheard("player-eu", NOON, 30.0)],
            chaotic=[],
        ),
    )
