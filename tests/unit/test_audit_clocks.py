"""Clocks that are ahead, as the audit's page shows them: by producer, and how many events lie in two hours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from batch.audit.clocks import clocks
from batch.audit.report import page
from tallymark.documents.audit_record import Clock
from tallymark.event import Event
from tallymark.settings import Settings
from tallymark.store.sqlite import SqliteViewStore
from tests.support.audit_records import an_audit
from tests.support.raw_tables import commits, made_by_an_earlier_version, pinned, written
from tests.support.recounts import MIDNIGHT

HOUR = MIDNIGHT - 120


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def event(name: str, ms: int, ahead_ms: int | None, producer: str | None = "tv/1", **changes: Any) -> Event:
    """One whose sender's clock was ahead by `ahead_ms`, and that occurred `ms` after HOUR by ours."""
    fields = {"type": "view", "video_id": "v", "clock_ahead_ms": ahead_ms, "producer_id": producer} | changes
    return Event(event_id=name, occurred_at=HOUR * 60_000 + ms, **fields)


def archived(settings: Settings, *events: Event) -> list[Clock]:
    store = SqliteViewStore(settings.home / "views.sqlite")
    made = commits(settings, store)
    for micro_batch, one in enumerate(events):
        made.add(written(settings, [one], first_offset=micro_batch), micro_batch)
    store.close()
    return clocks(pinned(settings).files, {HOUR})


def test_events_that_were_set_back_are_shown_by_producer(settings: Settings) -> None:
    made = [event(str(n), n, ahead, f"tv/{n}") for n, ahead in enumerate((1_000, 2_000, 9_000))]
    found = archived(
        settings, *made, event("a", 0, 7, None, video_id="w"), event("b", 5, None), event("c", 3_600_000, 5_000)
    )
    assert found == [Clock("tv", 3, 2_000, 9_000, 0), Clock("", 1, 7, 7, 0)]


def test_an_event_on_both_sides_of_an_hour_is_said_to_be(settings: Settings) -> None:
    edge = 3_600_000
    tries = [event("e", edge - 1, 60_003), event("e", edge + 2, 60_000), event("e", edge - 2, 60_004)]
    others = [event("e", edge + 9, 60_000), event("e", edge + 1, 60_001, video_id="w"), event("f", edge - 5, 60_000)]
    assert archived(settings, *tries, *others) == [Clock("tv", 3, 60_003, 60_004, 1)]


def test_a_table_in_which_nothing_was_set_back_has_no_clocks(settings: Settings) -> None:
    made_by_an_earlier_version(settings, [event("a", 0, None)])
    assert archived(settings, event("b", 5, None)) == []


def test_the_page_shows_them_in_lengths_that_people_read() -> None:
    clocks = [Clock("<tv>", 1_234, 1_500, 31_557_600_000, 2), Clock("", 1, 7, 90_000, 0)]
    shown = page(structs.replace(an_audit(1), clocks=clocks), [])
    assert "Clocks that are ahead" in shown
    for text in ("&lt;tv&gt;", "1,234", "1.5 s", "8,766.0 h", "none named", "7 ms", "1.5 min"):
        assert text in shown
    assert "Clocks that are ahead" not in page(an_audit(1), [])


def test_the_page_says_how_many_events_are_kept_and_not_counted() -> None:
    shown = page(structs.replace(an_audit(1), not_counted={"test": 7, "bot": 1_234}), [])
    assert "<td>bot</td><td>1,234</td></tr><tr><td>test</td><td>7</td>" in shown
    assert "Kept and not counted" not in page(an_audit(1), [])
