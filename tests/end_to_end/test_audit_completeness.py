"""An event that a real producer numbered and that never reached raw, and one that fell silent: the next audit tells."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from stream.archive.files import events_among
from stream.decoding import decode_records
from stream.log import Record
from tallymark.client import Producer
from tallymark.documents.progress import ARCHIVE, Progress
from tallymark.event import Event, encode
from tallymark.raw import RawTable
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tests.support.gateways import gateway_process, logged
from tests.support.raw_tables import FAR, commits
from tests.support.systems import settings_in, tallymark, told

EVENTS = 100_000
HOURS = 10
LOST = 61_803  # in the seventh hour
START = datetime(2026, 1, 30, tzinfo=UTC)


def archive(
    settings: Settings, events: list[Event], *, number: int, until: datetime, took: datetime | None = None
) -> None:
    """What the archive does with events that the log took as they occurred, or at `took`; its clock says `until`."""
    records = [
        Record(0, number * EVENTS + n, ms_of(took) if took else event.occurred_at, encode(event))
        for n, event in enumerate(events)
    ]
    table = pa.Table.from_batches([decode_records(records, max_ahead_ms=FAR)])
    with closing(open_store(settings)) as store:
        commits(settings, store).add(RawTable(settings.raw_uri).write(events_among(table)), number)
        store.write_document(ARCHIVE, Progress(positions={0: 1}, included_until=until).to_json())


def ms_of(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def asked(settings: Settings, start: int, end: int) -> Any:
    """The answer about hours from `start` to `end`."""
    within = {"start": START + timedelta(hours=start), "end": START + timedelta(hours=end)}
    with closing(open_store(settings)) as store, TestClient(create_app(settings, store=store)) as api:
        given = {"video_id": "v1", **{name: at.isoformat() for name, at in within.items()}}
        found = api.get("/v1/count", params=given)
        assert found.status_code == 200, found.text
        return found.json()["coverage"]


def metric(settings: Settings, name: str) -> float:
    with closing(open_store(settings)) as store, TestClient(create_app(settings, store=store)) as api:
        (line,) = [line for line in api.get("/metrics").text.splitlines() if line.startswith(f"{name} ")]
        return float(line.split()[1])


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Event]]:
    """What a real producer sent through the real gateway, out of the log; every event is of the ten hours in turn."""
    settings = settings_in(tmp_path_factory.mktemp("sent") / "home")
    options = {"producer": "player-eu", "batch": 2000, "buffer": 2 * EVENTS, "buffer_bytes": 1000 * EVENTS}
    with gateway_process(settings), Producer(settings.gateway.url, **options) as client:
        for n in range(EVENTS):
            at = START + timedelta(hours=HOURS) * n / EVENTS
            client.process_event(f"v{n % 7}", "view", occurred_at=at)
    return settings, logged(settings)


def test_one_lost_event_of_a_hundred_thousand_is_found_by_the_next_audit(sent: tuple[Settings, list[Event]]) -> None:
    settings, log = sent
    producer = log[0].producer_id
    assert len(log) == EVENTS
    arrived = [event for event in log if event.seq != LOST]
    archive(settings, arrived, number=1, until=START + timedelta(hours=HOURS))

    recount = told(settings, "recompute", "--no-spark")
    assert (recount["version"], recount["missing"]) == (1, 1)
    audit = tallymark(settings, "audit", "--json")
    assert audit.returncode == 1, audit.stderr
    found = json.loads(audit.stdout)
    assert found["verdict"] == "failed"
    complete = found["completeness"]
    assert (complete["missing"], complete["found"], complete["numbered"]) == (1, 1, EVENTS - 1)
    assert [gap[:3] for gap in complete["gaps"]] == [[producer, LOST, LOST]]
    page = Path(found["report"]).read_text()
    assert "player-eu/" in page
    assert "never arrived: 1, newly found: 1" in page
    assert "All cells are equal" not in page, "no cell was compared"

    assert asked(settings, 6, 7) == {
        "missing": 1,
        "silent": 0,
        "numbered": 1.0,
        "checked_until": (START + timedelta(hours=HOURS) - settings.lateness).isoformat().replace("+00:00", "Z"),
    }
    assert (asked(settings, 0, 6)["missing"], asked(settings, 0, 24)["missing"]) == (0, 1)
    assert metric(settings, "tallymark_coverage_missing_events") == 1
    assert metric(settings, "tallymark_coverage_numbered_share") == 1
    assert "events known to be missing: 1" in tallymark(settings, "versions").stdout
    assert "numbered events that never came: 1" in tallymark(settings, "status").stdout

    again = tallymark(settings, "audit")
    assert (again.returncode, "nothing to compare" in again.stdout) == (0, True)

    late = START + timedelta(hours=HOURS + 1)
    (lost,) = [event for event in log if event.seq == LOST]
    archive(settings, [lost], number=2, until=late + timedelta(minutes=1), took=late)
    assert told(settings, "recompute", "--no-spark")["missing"] == 0
    assert asked(settings, 6, 7)["missing"] == 0


def test_a_silenced_producer_is_told_of_by_the_next_audit(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home")

    def heard(producer: str, hours: range) -> list[Event]:
        return [
            Event(
                event_id=f"{producer}-{minute}",
                type="view",
                video_id="v1",
                occurred_at=ms_of(START + timedelta(minutes=minute)),
                producer_id=f"{producer}/1",
                seq=minute,
            )
            for minute in range(hours.start * 60, hours.stop * 60)
        ]

    before = [*heard("one", range(6)), *heard("two", range(6))]
    archive(settings, sorted(before, key=lambda event: event.occurred_at), number=1, until=START + timedelta(hours=6))
    told(settings, "recompute", "--no-spark")
    assert told(settings, "audit")["completeness"]["silent"] == []

    archive(settings, heard("two", range(6, 8)), number=2, until=START + timedelta(hours=8))
    audit = told(settings, "audit")  # no hour was sealed since, and it is told of all the same
    assert audit["verdict"] == "warned"
    ((producer, since, expected),) = audit["completeness"]["silent"]
    assert (producer, since) == ("one", "2026-01-30T05:59:00Z")
    assert expected > 100
    assert Path(audit["report"]).read_text().count("silent producer") == 1
    assert "silent    one since 2026-01-30 05:59 UTC" in tallymark(settings, "audit").stdout
    assert "silent: one" in tallymark(settings, "status").stdout
    assert (asked(settings, 0, 5)["silent"], asked(settings, 0, 7)["silent"]) == (0, 1)
    assert metric(settings, "tallymark_coverage_silent_producers") == 1
