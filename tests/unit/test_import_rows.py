"""Rows of files become events, or are refused with the words of the one rule."""

from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch.importing.columns import EVENT_COLUMNS
from batch.importing.load import Moment, examine
from batch.importing.mapping import Mapping, read_mapping
from batch.importing.portion import pieces_of
from batch.importing.readers import line_of
from batch.importing.sources import content_of, find_sources
from tallymark.errors import MalformedEvent, TallymarkError
from tallymark.event import Event, decode
from tests.support.nearly_events import ODD

TEXTS = {"event_id", "type", "video_id", "user_id", "producer_id"}
UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
NOON_MS = 1_769_774_400_000  # 2026-01-30T12:00:00Z
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


def mapped(folder: Path, text: str) -> Mapping:
    path = folder / "map.toml"
    path.write_text(text)
    return read_mapping(path)


def judged(file: Path, mapping: Mapping, until: datetime = UNTIL) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The events, and what was refused by line."""
    (source,) = find_sources([str(file)], format=mapping.format)
    events: list[dict[str, Any]] = []
    refused: dict[str, str] = {}
    for piece in pieces_of(source, content_of(source), mapping, until=until):
        events += piece.events.select(*EVENT_COLUMNS).to_dicts()
        refused |= {line_of(one.row, source, mapping): one.reason for one in piece.refused}
    return events, refused


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def times(folder: Path, spec: str, rows: list[str], head: str = "") -> list[str]:
    """When events of a CSV file occurred, or why they are none."""
    mapping = mapped(folder, f'{head}\n[event]\ntype = {{constant = "view"}}\nvideo_id = "v"\noccurred_at = {spec}')
    file = written(folder, "t.csv", "v;at\n" + "".join(f"a;{row}\n" for row in rows))
    mapping = Mapping(event=mapping.event, zone=mapping.zone, csv=type(mapping.csv)(delimiter=";"))
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


def test_broken_lines_of_csv_are_named_and_the_others_are_events(tmp_path: Path) -> None:
    text = b"at,v\n" + b"1,a\n2\n3,\xff\n\n5,e,e\n6,f\n7,\n"
    mapping = mapped(
        tmp_path, '[event]\ntype = {constant = "view"}\nvideo_id = "v"\noccurred_at = {column = "at", unit = "s"}'
    )
    text = text.replace(b"1,a", b"1769774400,a").replace(b"6,f", b"1769774400,f").replace(b"7,", b"1769774400,")
    events, refused = judged(written(tmp_path, "b.csv", text), mapping)
    assert [event["video_id"] for event in events] == ["a", "f"]
    assert refused == {
        "line 3": "expected 2 columns, got 1",
        "line 4": "not valid UTF-8",
        "line 5": "video_id: required, but missing",
        "line 6": "expected 2 columns, got 3",
        "line 8": "video_id: required, but missing",
    }
    assert [event["event_id"].rpartition("-")[2] for event in events] == ["0", "5"]


def test_broken_lines_of_ndjson_are_named_too(tmp_path: Path) -> None:
    lines = [b'{"v": "a", "t": 1769774400000}', b"", b'{"v": "b"', b'{"v": ["c"], "t": 1}', b'{"v": "\xff", "t": 1}',
             b'{"v": 7, "t": "2026-01-30T12:00:00Z", "more": {}}']  # fmt: skip
    mapping = mapped(tmp_path, '[event]\ntype = {constant = "view"}\nvideo_id = "v"\noccurred_at = {column = "t"}')
    events, refused = judged(written(tmp_path, "b.ndjson", b"\n".join(lines)), mapping)
    assert [(event["video_id"], event["occurred_at"]) for event in events] == [("a", NOON_MS), ("7", NOON_MS)]
    assert list(refused) == ["line 3", "line 4", "line 5"]
    assert "not valid JSON" in refused["line 3"]


def test_parquet_of_its_own_types_and_packed_csv_say_the_same(tmp_path: Path) -> None:
    at = [datetime(2026, 1, 30, 12, n, tzinfo=UTC) for n in range(3)]
    frame = pl.DataFrame({"at": at, "v": [11, 12, 13], "s": [1.0, 2.0, None], "u": ["x", None, "z"]})
    frame.write_parquet(tmp_path / "h.parquet")
    shown = frame.with_columns(pl.col("s").cast(pl.Int64), pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_csv()
    written(tmp_path, "h.csv.gz", gzip.compress(shown.encode()))
    mapping = mapped(
        tmp_path,
        '[event]\ntype = {constant = "view"}\nvideo_id = "v"\noccurred_at = {column = "at"}\nuser_id = "u"\n'
        'value = {column = "s", default = 9}\nevent_id = {hash = ["v", "u"]}',
    )
    of_parquet, of_csv = judged(tmp_path / "h.parquet", mapping), judged(tmp_path / "h.csv.gz", mapping)
    assert of_parquet == of_csv
    assert [event["value"] for event in of_parquet[0]] == [1, 2, 9]
    assert not of_parquet[1]


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


def test_a_column_that_a_file_lacks_is_named_with_those_that_it_has(tmp_path: Path) -> None:
    mapping = mapped(tmp_path, '[event]\ntype = "kind"\nvideo_id = "v"\noccurred_at = "t"')
    with pytest.raises(TallymarkError, match=r"x\.csv has no column kind; it has v, t"):
        judged(written(tmp_path, "x.csv", "v,t\na,1\n"), mapping)
    with pytest.raises(TallymarkError, match="there is no file"):
        find_sources([str(tmp_path / "nothing-*.csv")])
    with pytest.raises(TallymarkError, match="is a folder"):
        find_sources([str(tmp_path)])


def test_a_dry_run_shows_events_and_all_refusals_by_reason(tmp_path: Path) -> None:
    mapping = mapped(tmp_path, '[event]\ntype = "t"\nvideo_id = "v"\noccurred_at = {column = "at"}')
    rows = [f"{'view' if n % 3 else 'View'},v{n},{NOON_MS}" for n in range(90)]
    file = written(tmp_path, "d.csv", "t,v,at\n" + "\n".join(rows) + "\n")
    done = examine(find_sources([str(file)]), mapping, moment=Moment(UNTIL, UNTIL), shown=10)
    assert (done.rows, done.events, len(done.first)) == (90, 60, 10)
    ((reason, count),) = done.refused.items()
    assert (count, reason.startswith("type: expected")) == (30, True)
    assert done.places[reason] == [f"{file} line {n}" for n in (2, 5, 8)]
