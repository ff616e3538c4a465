"""What the API shows of audits is what the audit has put on record."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from serving.audits import MOST, read_audits
from serving.parameters import AskedAudits
from tallymark.buckets import minute_of
from tallymark.documents import audits as records
from tallymark.documents.audit_record import AuditRecord, Causes, Completeness, Figures, HourFigures, Unheard
from tallymark.documents.audits import Last
from tallymark.store.sqlite import SqliteViewStore

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def record(version: int) -> AuditRecord:
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


def test_an_audit_is_shown_with_its_figures_causes_and_hours(store: SqliteViewStore) -> None:
    records.keep(store, record(7))
    (shown,) = read_audits(store, 30)
    assert (shown.number, shown.verdict, shown.version, shown.epoch) == (1, "warned", 7, 2)
    assert shown.batch - shown.missed + shown.surplus == shown.speed == 98
    assert (shown.late, shown.duplicates, shown.lost, shown.unexplained) == (3, 1, 0, 0)
    assert (shown.hours, shown.empty, shown.not_compared) == (1, 3, ("an hour",))
    assert (shown.missing, shown.silent) == (4, 1)
    (hour,) = shown.by_hour
    assert (hour.start, hour.batch, hour.missed, hour.surplus) == (NOON, 100, 3, 1)


def test_the_last_audits_are_shown_oldest_first_those_that_somebody_asked_for_too(store: SqliteViewStore) -> None:
    assert not read_audits(store, 30)
    for version in range(1, 8):
        kept = records.keep(store, record(version))
        if version <= 4:  # what is asked for does not move the pointer
            records.move_on(store, Last(kept.number, version, 0))
    assert [audit.number for audit in read_audits(store, 30)] == [1, 2, 3, 4, 5, 6, 7]
    assert [audit.number for audit in read_audits(store, 2)] == [6, 7]


@pytest.mark.parametrize("limit", [0, MOST + 1, True, 1.0, "1.0", "x", None, ""])
def test_how_many_audits_is_a_whole_number_within_limits(limit: object) -> None:
    with pytest.raises(ValidationError, match=f"a whole number from 1 to {MOST}"):
        AskedAudits.model_validate({"limit": limit})
    assert (AskedAudits().limit, AskedAudits.model_validate({"limit": "7"}).limit) == (30, 7)
