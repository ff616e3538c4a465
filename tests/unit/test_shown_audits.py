"""What the API shows of audits is what the audit has put on record."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serving.audits import MOST, read_audits
from serving.parameters import AskedAudits
from tallymark.documents import audits as records
from tallymark.documents.audits import Last
from tallymark.store.sqlite import SqliteViewStore
from tests.support.audit_records import NOON, an_audit


def test_an_audit_is_shown_with_its_figures_causes_and_hours(store: SqliteViewStore) -> None:
    records.keep(store, an_audit(7))
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
        kept = records.keep(store, an_audit(version))
        if version <= 4:  # what is asked for does not move the pointer
            records.move_on(store, Last(number=kept.number, version=version, until=0))
    assert [audit.number for audit in read_audits(store, 30)] == [1, 2, 3, 4, 5, 6, 7]
    assert [audit.number for audit in read_audits(store, 2)] == [6, 7]


@pytest.mark.parametrize("limit", [0, MOST + 1, True, 1.0, "1.0", "x", None, ""])
def test_how_many_audits_is_a_whole_number_within_limits(limit: object) -> None:
    with pytest.raises(ValidationError, match=f"a whole number from 1 to {MOST}"):
        AskedAudits.model_validate({"limit": limit})
    assert (AskedAudits().limit, AskedAudits.model_validate({"limit": "7"}).limit) == (30, 7)
