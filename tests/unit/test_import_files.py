"""Files are read whatever they are: rows that cannot be are named, and what was made of them is shown."""

from __future__ import annotations

import gzip
import random
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from batch.importing.load import Loaded, Moment, examine
from batch.importing.show import show
from batch.importing.sources import find_sources
from tallymark.errors import TallymarkError
from tests.support.imports import NOON_MS, UNTIL, judged, mapped, written


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


@pytest.mark.parametrize("blank", ["", " "])
def test_two_objects_on_a_line_are_refused_whatever_other_lines_hold(tmp_path: Path, blank: str) -> None:
    one = '{"v": "a", "t": 1769774400000}'
    mapping = mapped(tmp_path, '[event]\ntype = {constant = "view"}\nvideo_id = "v"\noccurred_at = {column = "t"}')
    events, refused = judged(written(tmp_path, "two.ndjson", f"{one}{one}\n{blank}\n"), mapping)
    assert (events, list(refused)) == ([], ["line 1"])


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


def test_a_broken_line_that_is_no_text_either_is_one_lines_trouble(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.importing.readers._BLOCK", 101)  # letters lie across blocks
    mapping = mapped(tmp_path, '[event]\ntype = {constant = "view"}\nvideo_id = "v"\noccurred_at = {column = "at"}')
    lines = [f"{'é' * (n % 7)}ü{n},{NOON_MS}".encode() for n in range(300)]
    lines[100] = b"\xff,1,2"
    lines[200] = b"\xe9," + str(NOON_MS).encode()
    events, refused = judged(written(tmp_path, "b.csv", b"\n".join([b"v,at", *lines, b"\xc3"])), mapping)
    assert refused == {
        "line 102": "expected 2 columns, got 3",
        "line 202": "not valid UTF-8",
        "line 302": "expected 2 columns, got 1",
    }
    right = [line.decode().split(",")[0] for number, line in enumerate(lines) if number not in {100, 200}]
    assert [event["video_id"] for event in events] == right
    assert capfd.readouterr().err == ""


def test_a_file_that_is_no_text_is_refused_in_words_that_can_be_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mapping = mapped(tmp_path, '[event]\ntype = {constant = "view"}\nvideo_id = "v"\noccurred_at = {column = "at"}')
    junk = written(tmp_path, "junk.csv", random.Random(1).randbytes(20_000))
    with pytest.raises(TallymarkError, match=r"junk\.csv is no CSV in UTF-8") as told:
        judged(junk, mapping)
    assert str(told.value).isprintable()
    assert capfd.readouterr().err == ""


def test_a_column_that_a_file_lacks_is_named_with_those_that_it_has(tmp_path: Path) -> None:
    mapping = mapped(tmp_path, '[event]\ntype = "kind"\nvideo_id = "v"\noccurred_at = "t"')
    with pytest.raises(TallymarkError, match=r"x\.csv has no column kind; it has v, t"):
        judged(written(tmp_path, "x.csv", "v,t\na,1\n"), mapping)
    with pytest.raises(TallymarkError, match="there is no file"):
        find_sources([str(tmp_path / "nothing-*.csv")])
    with pytest.raises(TallymarkError, match="is a folder"):
        find_sources([str(tmp_path)])


@pytest.mark.parametrize(("sign", "written_as"), [(";", ";"), ("\t", "\\t"), ("|", "|")])
def test_a_file_whose_columns_another_sign_sets_apart_says_so(tmp_path: Path, sign: str, written_as: str) -> None:
    text = '[event]\ntype = "kind"\nvideo_id = "v"\noccurred_at = {column = "t"}\n'
    file = written(tmp_path, "x.csv", sign.join(('"kind"', "v", "t")) + "\n" + sign.join(("view", "b", str(NOON_MS))))
    with pytest.raises(TallymarkError) as told:
        judged(file, mapped(tmp_path, text))
    said = f'[csv] delimiter = "{written_as}"'
    assert str(told.value).endswith(said)
    events, _ = judged(file, mapped(tmp_path, text + said.replace("] ", "]\n")))
    assert [event["video_id"] for event in events] == ["b"]


def test_a_dry_run_shows_whole_times_and_no_empty_columns_however_narrow_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = '[event]\ntype = {constant = "view"}\nvideo_id = "v"\noccurred_at = {column = "at"}\nuser_id = "u"\n'
    mapping = mapped(tmp_path, text + 'attributes = { country = "geo", device = "agent" }\n')
    file = written(tmp_path, "d.csv", f"v,u,at,geo,agent\nv1,somebody,{NOON_MS},DE,\nv2,,{NOON_MS},,\n")
    done = examine(find_sources([str(file)]), mapping, moment=Moment(UNTIL, UNTIL), shown=10)
    assert [event["attributes"] for event in done.first] == [{"country": "DE"}, {}]
    show(done, dry_run=True)
    shown = capsys.readouterr().out
    assert shown.count("2026-01-30T12:00:00Z") == 2
    assert ("producer" in shown, "seq" in shown, "…" in shown) == (False, False, False)
    body = shown.partition("┼")[2]
    rows = [line.split("│") for line in body.splitlines() if "│" in line]
    ids, attributes = ("".join(row[place].strip() for row in rows) for place in (0, -1))
    assert (ids, attributes) == ("".join(str(event["event_id"]) for event in done.first), "country=DE")


def test_what_was_done_is_told_in_numbers_of_one_and_of_many(capsys: pytest.CaptureFixture[str]) -> None:
    show(Loaded(rows=1, events=1, files=1, commits=1), dry_run=False)
    assert "1 event of 1 row is in the raw events: 1 file, 1 commit, " in capsys.readouterr().out
    show(Loaded(rows=3, events=2, files=2, commits=1200), dry_run=False)
    assert "2 events of 3 rows are in the raw events: 2 files, 1,200 commits, " in capsys.readouterr().out


def test_a_dry_run_shows_events_and_all_refusals_by_reason(tmp_path: Path) -> None:
    mapping = mapped(tmp_path, '[event]\ntype = "t"\nvideo_id = "v"\noccurred_at = {column = "at"}')
    rows = [f"{'view' if n % 3 else 'View'},v{n},{NOON_MS}" for n in range(90)]
    file = written(tmp_path, "d.csv", "t,v,at\n" + "\n".join(rows) + "\n")
    done = examine(find_sources([str(file)]), mapping, moment=Moment(UNTIL, UNTIL), shown=10)
    assert (done.rows, done.events, len(done.first)) == (90, 60, 10)
    ((reason, count),) = done.refused.items()
    assert (count, reason.startswith("type: expected")) == (30, True)
    assert done.places[reason] == [f"{file} line {n}" for n in (2, 5, 8)]
