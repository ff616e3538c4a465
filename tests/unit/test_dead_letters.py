"""Dead letters keep every byte, once per place."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from stream.dead_letters.report import show, show_letter
from stream.decoding import DECODED, EVENTS, decode_events, decode_records
from stream.log import Record
from tallymark.documents.dead_letters import DeadLetter, bury, dead_letters
from tallymark.event import EARLIEST_MS, Event, encode
from tallymark.store.sqlite import SqliteViewStore


@pytest.fixture
def store(tmp_path: Path) -> SqliteViewStore:
    return SqliteViewStore(tmp_path / "views.sqlite")


def letter(offset: int, record: bytes = b"\xff\x00") -> DeadLetter:
    return DeadLetter(
        log_partition=0, log_offset=offset, appended_at=EARLIEST_MS, reason="not JSON", field=None, record=record
    )


def test_what_was_buried_is_read_back_with_its_bytes(store: SqliteViewStore) -> None:
    letters = [letter(1), letter(7, b""), letter(9, bytes(range(256)))]
    bury(store, letters)
    assert list(dead_letters(store)) == letters


def test_a_record_that_is_shown_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = letter(1, "\x1b[31mred\x1b]0;title\x07\r\x9bé".encode())
    show([hostile], 1, set())
    show_letter(hostile, sent=False)
    shown = capsys.readouterr().out
    assert shown.replace("\n", "").isprintable()
    assert "\\x1b[31mred" in shown
    assert "é" in shown


def test_burying_again_in_other_chunks_shows_each_place_once(store: SqliteViewStore) -> None:
    bury(store, [letter(1), letter(2), letter(3)])
    bury(store, [letter(1), letter(2), letter(3)])
    bury(store, [letter(2), letter(3), letter(4)])
    assert [found.log_offset for found in dead_letters(store)] == [1, 2, 3, 4]


def test_many_large_letters_do_not_make_one_huge_document(store: SqliteViewStore) -> None:
    bury(store, [letter(offset, bytes(200_000)) for offset in range(10)])
    assert len(list(dead_letters(store))) == 10
    assert max(len(body) for _, body in store.list_documents("dead-letters/")) < 1_000_000


def test_decoding_keeps_the_order_and_says_why_a_record_is_no_event() -> None:
    event = Event(event_id="e", type="view", video_id="v", occurred_at=EARLIEST_MS, user_id="u", seq=3)
    ahead = Event(event_id="e", type="view", video_id="v", occurred_at=EARLIEST_MS + 11)
    raw = [b"{", encode(event), b'{"event_id":5}', encode(ahead)]
    batch = decode_records([Record(0, i, EARLIEST_MS, value) for i, value in enumerate(raw)], max_ahead_ms=10)
    assert batch.schema == DECODED
    rows = batch.to_pylist()
    assert [row["log_offset"] for row in rows] == [0, 1, 2, 3]
    assert [row["field"] for row in rows] == [None, None, "event_id", "occurred_at"]
    assert [row["record"] for row in rows] == [raw[0], None, raw[2], raw[3]]
    assert (rows[1]["video_id"], rows[1]["value"], rows[1]["seq"], rows[1]["reason"]) == ("v", 1, 3, None)


def test_what_is_counted_are_the_events_that_the_archive_keeps() -> None:
    event = Event(event_id="e", type="view", video_id="v", occurred_at=EARLIEST_MS, value=-4, user_id="u", seq=3)
    ahead = Event(event_id="e", type="view", video_id="v", occurred_at=EARLIEST_MS + 11)
    last = Event(event_id="f", type="like", video_id="w", occurred_at=EARLIEST_MS + 10)
    values = [b"{", encode(event), b"", None, encode(ahead), encode(last)]
    kept = decode_records([Record(0, i, EARLIEST_MS, value or b"") for i, value in enumerate(values)], max_ahead_ms=10)

    counted = decode_events(pa.array(values, pa.binary()), pa.array([EARLIEST_MS] * len(values)), max_ahead_ms=10)

    assert counted.schema == EVENTS
    assert counted.to_pylist() == [
        {name: row[name] for name in EVENTS.names} for row in kept.to_pylist() if row["reason"] is None
    ]
    assert [row["event_id"] for row in counted.to_pylist()] == ["e", "f"]


def test_no_records_decode_to_no_rows() -> None:
    assert decode_records([], max_ahead_ms=0).num_rows == 0
    assert decode_events(pa.array([], pa.binary()), pa.array([], pa.int64()), max_ahead_ms=0).num_rows == 0
