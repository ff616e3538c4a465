"""Rows of files become events, or are refused with the words of the one rule."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batch.importing.columns import EVENT_COLUMNS
from batch.importing.mapping import Csv
from tallymark.errors import MalformedEvent, TallymarkError
from tallymark.event import Event, decode
from tests.support.imports import NOON_MS, judged, mapped, written
from tests.support.nearly_events import ODD

TEXTS = {"event_id", "type", "video_id", "user_id", "producer_id"}
PLAIN = """
[event]
event_id = "event_id"
type = "type"
video_id = "video_id"
occurred_at = { column = "occurred_at" }
value = "value"
user_id = "user_id"
producer_id = "producer_id"
seq = "seq"
"""


def times(folder: Path, spec: str, rows: list[str], head: str = "") -> list[str]:
    """When events of a CSV file occurred, or why they are none."""
    mapping = mapped(folder, f'{head}\n[event]\ntype = {{constant = "view"}}\nvideo_id = "v"\noccurred_at = {spec}')
    file = written(folder, "t.csv", "v;at\n" + "".join(f"a;{row}\n" for row in rows))
    mapping = msgspec.structs.replace(mapping, csv=Csv(delimiter=";"))
    events, refused = judged(file, mapping)
    found = {int(event["event_id"].split("-")[1]): event["occurred_at"] for event in events}
    shown = {row: datetime.fromtimestamp(ms / 1000, UTC).isoformat() for row, ms in found.items()}
    return [shown.get(n) or refused[f"line {n + 2}"] for n in range(len(rows))]


@pytest.mark.parametrize("seed", range(3))
def test_whole_columns_are_judged_as_the_rule_judges_each_row(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    right = {"event_id": "e", "type": "view", "video_id": "v", "occurred_at": NOON_MS, "value": 3, "user_id": "u",
             "producer_id": "p", "seq": 7}  # fmt: skip
    odd = [one for one in ODD if not isinstance(one, list | dict | bool)]
    rows = []
    for number in range(4000):
        row: dict[str, Any] = right | {"event_id": f"e{number}"}
        for _ in range(chance.choice([0, 0, 1, 2])):
            name = chance.choice(list(right))
            row[name] = chance.choice(odd)
            if name in TEXTS and isinstance(row[name], int | float):
                row[name] = str(row[name])  # an id that is a number in a file is the text of that number
        rows.append(row)
    file = written(tmp_path, "odd.ndjson", "".join(json.dumps(row) + "\n" for row in rows))
    events, refused = judged(file, mapped(tmp_path, PLAIN), until=datetime(2100, 1, 2, tzinfo=UTC))
    found = {event["event_id"]: event for event in events}
    wrong: set[str] = set()
    expected: dict[str, Event] = {}
    for number, row in enumerate(rows, 1):
        given = {name: value for name, value in row.items() if value is not None}
        try:
            event = decode(json.dumps(given).encode())
        except MalformedEvent:
            wrong.add(f"line {number:,}")
        else:
            expected[event.event_id] = event
    assert refused.keys() == wrong
    assert found.keys() == expected.keys()
    for name, event in expected.items():
        assert found[name] == {field: getattr(event, field) for field in EVENT_COLUMNS}
    assert 100 < len(refused) < 3900


def test_times_are_read_with_the_zone_that_they_lack(tmp_path: Path) -> None:
    found = times(
        tmp_path,
        '{ column = "at", format = "%d.%m.%Y %H:%M" }',
        ["30.01.2026 12:00", "30.06.2025 12:00", "26.03.2023 02:30", "29.10.2023 02:30", "Friday"],
        head='zone = "Europe/Berlin"',
    )
    assert found[:2] == ["2026-01-30T11:00:00+00:00", "2025-06-30T10:00:00+00:00"]
    assert all("clocks were changed in that hour in Europe/Berlin" in one for one in found[2:4])
    assert "does not read as %d.%m.%Y %H:%M" in found[4]


@pytest.mark.parametrize(("at_the_top", "of_the_time"), [("latest", ""), ("earliest", ', clock_change = "latest"')])
def test_which_hour_is_meant_may_be_said_at_the_top_or_of_the_time(
    tmp_path: Path, at_the_top: str, of_the_time: str
) -> None:
    twice, never = times(
        tmp_path,
        f'{{ column = "at", format = "%d.%m.%Y %H:%M"{of_the_time} }}',
        ["29.10.2023 02:30", "26.03.2023 02:30"],
        head=f'zone = "Europe/Berlin"\nclock_change = "{at_the_top}"',
    )
    assert twice == "2023-10-29T01:30:00+00:00"
    assert "clocks were put forward over that time in Europe/Berlin" in never


def test_a_mapping_says_which_of_two_hours_is_meant(tmp_path: Path) -> None:
    spec = '{ column = "at", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin", clock_change = "latest" }'
    assert times(tmp_path, spec, ["29.10.2023 02:30"]) == ["2023-10-29T01:30:00+00:00"]


def test_times_are_rfc_3339_or_numbers_of_a_unit(tmp_path: Path) -> None:
    plain = times(tmp_path, '{ column = "at" }', ["2026-01-30T12:00:00.5+02:00", str(NOON_MS), "2026-01-30T12:00:00"])
    assert plain[:2] == ["2026-01-30T10:00:00.500000+00:00", "2026-01-30T12:00:00+00:00"]
    assert "RFC 3339 with a zone" in plain[2]
    seconds = times(tmp_path, '{ column = "at", unit = "s" }', ["1769774400", "1769774400.25", "x"])
    assert seconds[:2] == ["2026-01-30T12:00:00+00:00", "2026-01-30T12:00:00.250000+00:00"]
    assert "expected a number of s since 1970" in seconds[2]
    assert times(tmp_path, '{ column = "at", unit = "us" }', ["1769774400000999"]) == ["2026-01-30T12:00:00+00:00"]


def test_a_time_without_a_zone_is_nobodys_guess(tmp_path: Path) -> None:
    with pytest.raises(TallymarkError, match="the times in at name no zone: say which one is meant"):
        times(tmp_path, '{ column = "at", format = "%d.%m.%Y" }', ["30.01.2026"])


def test_what_is_not_over_yet_is_no_history(tmp_path: Path) -> None:
    (told,) = times(tmp_path, '{ column = "at" }', ["2026-02-01T00:00:00Z"])
    assert "send it to the gateway" in told


def test_rows_that_are_the_same_in_hashed_columns_are_one_event_and_others_are_not(tmp_path: Path) -> None:
    mapping = mapped(
        tmp_path,
        '[event]\ntype = {column = "t", values = {play = "view"}}\nvideo_id = "v"\noccurred_at = {column = "at"}\n'
        'event_id = {hash = ["v", "u"]}',
    )
    rows = ["play,a,bc", "play,a,bc", "play,ab,c", "like,a,"]
    file = written(tmp_path, "h.csv", "t,v,u,at\n" + "".join(f"{row},{NOON_MS}\n" for row in rows))
    events, refused = judged(file, mapping)
    ids = [event["event_id"] for event in events]
    assert not refused
    assert (ids[0] == ids[1], len(set(ids))) == (True, 3)
    assert [event["type"] for event in events] == ["view", "view", "view", "like"]


@pytest.mark.parametrize("ids", ["", 'event_id = {hash = ["v", "u"]}'])
def test_what_two_mappings_make_of_a_row_are_two_events_unless_they_are_of_one_type(tmp_path: Path, ids: str) -> None:
    file = written(tmp_path, "h.csv", f"t,v,u,at\nplay,a,b,{NOON_MS}\n")

    def id_of(kind: str) -> str:
        text = f'[event]\ntype = {kind}\nvideo_id = "v"\noccurred_at = {{column = "at"}}\n{ids}'
        ((event,), refused) = judged(file, mapped(tmp_path, text))
        assert not refused
        return str(event["event_id"])

    view, watched = id_of('{constant = "view"}'), id_of('{constant = "watch_time"}')
    assert view != watched
    assert id_of('{column = "t", values = {play = "view"}}') == view


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[event", "cannot be read"),
        ('[event]\nvideo_id = "v"', "missing required field"),
        ('[event]\ntype = {}\nvideo_id = "v"\noccurred_at = "t"', "event.type needs a column or a constant"),
        ('[event]\ntype = "t"\nvideo_id = "v"\noccurred_at = {column = "t", zone = "Mars"}', "is no time zone"),
        ('[event]\ntype = "t"\nvideo_id = "v"\noccurred_at = {column = "t", formt = "%d"}', "unknown field"),
    ],
)
def test_a_mapping_that_is_none_says_what_is_wrong_with_it(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(TallymarkError, match=told):
        mapped(tmp_path, text)
