"""SQL over raw events and published counts: the tables are what the oracle says, and nothing else can be reached."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from msgspec import structs

from tallymark.buckets import Grain
from tallymark.cells import shard_of
from tallymark.client import Counts
from tallymark.errors import Damaged, InvalidQuestion, NothingToRecount, UnknownVersion
from tallymark.event import Event
from tallymark.instants import instant
from tallymark.raw import RawTable
from tallymark.settings import Settings
from tallymark.sql import events
from tallymark.sql.narrow import ALL
from tests.support import oracle
from tests.support.asked import NOON, Asked, found
from tests.support.raw_tables import commits, written


def test_events_are_the_first_copies_as_the_oracle_finds_them(asked: Asked) -> None:
    rows = asked("SELECT event_id, type, video_id, epoch_ms(occurred_at) AS at, value, user_id FROM events")
    expected = [(e.event_id, e.type, e.video_id, e.occurred_at, e.value, e.user_id) for e in oracle.distinct(asked.log)]
    assert sorted(map(tuple, (row.values() for row in rows)), key=str) == sorted(expected, key=str)


def test_raw_holds_every_row(asked: Asked) -> None:
    rows = asked("SELECT log_offset FROM raw")
    assert sorted(row["log_offset"] for row in rows) == sorted(row.offset for row in asked.world.rows)


@pytest.mark.parametrize(("table", "grain"), [("counts_hour", Grain.HOUR), ("counts_day", Grain.DAY)])
def test_counts_are_the_cells_of_the_oracle_up_to_exact_until(asked: Asked, table: str, grain: Grain) -> None:
    sealed = asked.world.published.boundary
    log = [event for event in asked.log if event.occurred_at < sealed * 60_000]
    expected = {
        (key.video_id, key.type, instant(key.bucket.start)): (
            *(tally.count, tally.sum, tally.min, tally.max),
            round(tally.users.estimate().value) if tally.users else 0,
        )
        for key, tally in oracle.cells(log, grain).items()
    }
    rows = asked(f"SELECT video_id, type, start, count, sum, min, max, users FROM {table}")
    assert {tuple(row.values())[:3]: tuple(row.values())[3:] for row in rows} == expected
    for row in asked(f"SELECT users, users_lower, users_upper FROM {table}"):
        assert row["users_lower"] <= row["users"] <= row["users_upper"]


def test_counts_agree_with_events_that_the_version_counted(asked: Asked) -> None:
    query = """
        WITH counted AS (
            SELECT video_id, type, date_trunc('hour', occurred_at) AS start, count(*) AS n FROM events, versions
            WHERE versions.current AND occurred_at < exact_until AND appended_at < counted_until GROUP BY ALL
        )
        SELECT * FROM counted FULL JOIN counts_hour USING (video_id, type, start) WHERE n IS DISTINCT FROM count
    """
    assert asked(query) == []
    assert asked("SELECT sum(count) AS n FROM counts_hour")[0]["n"] > 1500


def test_a_day_that_is_not_wholly_sealed_says_so(asked: Asked) -> None:
    exact_until = asked.world.published.exact_until
    days = asked("SELECT DISTINCT start, complete FROM counts_day ORDER BY start")
    assert len(days) >= 4
    assert days[-1]["start"] < exact_until
    assert [row["complete"] for row in days] == [*[True] * (len(days) - 1), False]


def test_counts_are_read_as_of_an_older_version(asked: Asked) -> None:
    total = "SELECT sum(count) AS n, max(start) AS last FROM counts_hour"
    older, newer = asked(total, as_of=1), asked(total)
    assert older[0]["n"] < newer[0]["n"]
    with pytest.raises(UnknownVersion):
        asked(total, as_of=77)


def test_a_table_may_be_read_twice_in_one_query(asked: Asked) -> None:
    both = "SELECT count(*) AS n FROM counts_hour AS a JOIN counts_hour AS b USING (video_id, type, start)"
    assert asked(both) == asked("SELECT count(*) AS n FROM counts_hour")


NARROWED = [
    "video_id = 'copied'",
    "'copied' = video_id",
    "e.video_id IN ('copied', 'another') AND value > 5",
    "video_id = 'copied' OR video_id = 'another'",
    "NOT video_id = 'copied'",
    "video_id NOT IN ('copied')",
    "video_id = 'copied' AND video_id = 'another'",
    "video_id IN ('copied', upper('x'))",
    "occurred_at >= '2026-02-01' AND occurred_at < '2026-02-02'",
    "occurred_at BETWEEN '2026-02-01 12:00' AND TIMESTAMPTZ '2026-02-01 12:00:00.5Z'",
    "occurred_at > DATE '2026-02-03' - INTERVAL 2 DAY",
    "DATE '2026-02-01' - 1 <= occurred_at AND day < '2026-02-01'",
    "day = '2026-02-01' AND type = 'view'",
    "day IN ('2026-01-30', '2026-02-01')",
    "day > '2026-02-01 13:00'",
    "occurred_at = '2026-02-01 12:00:01'",
    "occurred_at < now() AND occurred_at >= now() - INTERVAL 100 YEAR",
    "occurred_at >= CASE WHEN value > 7 THEN now() ELSE '2000-01-01' END",
    "occurred_at <= 'infinity'",
    "occurred_at < NULL",
    "date_trunc('day', occurred_at) = '2026-02-01'",
    "occurred_at + INTERVAL 1 DAY > '2026-02-02'",
    "shard = 3",
    "video_id LIKE 'cop%'",
    "video_id = lower('COPIED') AND hour(occurred_at) = 12",
    "EXISTS (SELECT 1 FROM raw AS r WHERE r.video_id = e.video_id AND r.event_id = 'late')",
]


@pytest.mark.parametrize("where", NARROWED)
def test_what_a_condition_leaves_unread_would_not_have_been_found(asked: Asked, where: str) -> None:
    narrow = asked(f"SELECT event_id, log_offset FROM events AS e WHERE {where} ORDER BY log_offset")
    # of a subquery with a limit, nothing is narrowed
    whole = f"SELECT event_id, log_offset FROM (FROM events LIMIT 1000000) AS e WHERE {where} ORDER BY log_offset"
    assert narrow == asked(whole)


@pytest.mark.parametrize(
    "where", ["video_id = 'copied'", "start >= '2026-02-01'", "start BETWEEN '2026-01-30' AND '2026-02-01'"]
)
def test_counts_are_narrowed_the_same_way(asked: Asked, where: str) -> None:
    for table in ("counts_hour", "counts_day"):
        narrow = asked(f"FROM {table} WHERE {where} ORDER BY ALL")
        assert narrow
        assert narrow == asked(f"SELECT * FROM (FROM {table} LIMIT 1000000) WHERE {where} ORDER BY ALL")


def test_columns_that_are_called_otherwise_narrow_nothing(asked: Asked) -> None:
    renamed = "SELECT count(*) AS n FROM events AS e(video_id, event_id) WHERE video_id = 'same'"
    assert asked(renamed) == asked("SELECT count(*) AS n FROM events WHERE event_id = 'same'")
    own = "WITH events AS (SELECT event_id AS video_id FROM events)"
    assert asked(f"{own} SELECT count(*) AS n FROM events WHERE video_id = 'same'")[0]["n"] == 3


def test_parameters_are_values_and_narrow_as_values_do(asked: Asked) -> None:
    query = "SELECT count(*) AS n FROM events WHERE video_id = $video AND occurred_at < $until"
    given = {"video": "copied", "until": datetime(2026, 2, 1, 13, tzinfo=UTC)}
    assert asked(query, parameters=given) == [{"n": 452}]
    assert asked(query, parameters=given | {"video": "' OR '1'='1"}) == [{"n": 0}]


def test_a_query_on_one_day_or_one_video_reads_no_other_files(asked: Asked, tmp_path: Path) -> None:
    shutil.copytree(asked.world.folder, tmp_path / "copy")
    raw = tmp_path / "copy" / "raw"
    settings = Settings(home=tmp_path, store=f"sqlite:{tmp_path}/copy/views.sqlite", raw=str(raw))
    kept = {file.path for file in RawTable(str(raw)).pin().files if "day=2026-02-01" in file.path}
    for file in raw.glob("day=*/*/*.parquet"):
        if str(file.relative_to(raw)) not in kept:
            file.unlink()
    for where in ("day = '2026-02-01'", "occurred_at >= '2026-02-01' AND occurred_at < '2026-02-02'"):
        assert found(settings, f"SELECT count(*) AS n FROM events WHERE {where}")[0]["n"] > 1000
    assert found(settings, "DESCRIBE events")
    with pytest.raises(Damaged, match="is gone"):
        found(settings, "SELECT count(*) FROM events")
    with pytest.raises(Damaged, match="is gone"):
        found(settings, "SELECT event_id FROM raw")
    for file in raw.glob("day=*/*/*.parquet"):
        if f"shard={shard_of('copied')}/" not in str(file):
            file.unlink()
    only = "SELECT count(*) AS n FROM events WHERE video_id = 'copied' AND day = '2026-02-01'"
    assert found(settings, only) == [{"n": 452}]


def test_attributes_are_columns_and_null_where_a_file_has_none(settings: Settings, store: Any) -> None:
    plain = Event(event_id="a", type="view", video_id="v", occurred_at=NOON)
    told = structs.replace(plain, event_id="b", attributes={"country": "de", "plan": "free"})
    commits(settings, store).add(written(settings, [plain, told]), 0)
    query = "SELECT event_id, attributes['country'] AS country, attributes['plan'] AS plan FROM events ORDER BY 1"
    assert [tuple(row.values()) for row in found(settings, query)] == [("a", None, None), ("b", "de", "free")]
    by_country = "SELECT attributes['country'] AS country, count(*) AS n FROM raw GROUP BY ALL ORDER BY ALL"
    assert found(settings, by_country) == [{"country": "de", "n": 1}, {"country": None, "n": 1}]


def test_files_of_earlier_versions_lack_attributes_and_are_read(asked: Asked) -> None:
    assert asked("SELECT DISTINCT attributes['country'] AS country FROM events") == [{"country": None}]


def test_an_event_whose_first_copy_is_marked_is_not_among_events() -> None:
    columns = {
        "event_id": ["a", "a", "b", "b", "c"],
        "video_id": ["v"] * 5,
        "occurred_at": [NOON] * 5,
        "not_counted": ["bot", None, None, "bot", None],
        "appended_at": [1, 2, 1, 2, 1],
        "log_partition": [0] * 5,
        "log_offset": [1, 2, 3, 4, 5],
        "shard": [1] * 5,
    }
    rows = pa.table(columns)
    database = duckdb.connect()
    database.register("source", rows)
    view = events.view_of("events", "source", rows.column_names, ALL)
    assert database.sql(f"SELECT event_id FROM ({view}) ORDER BY 1").fetchall() == [("b",), ("c",)]
    assert "not_counted" not in database.sql(view).columns
    assert "not_counted" in database.sql(events.view_of("raw", "source", rows.column_names, ALL)).columns


def test_two_columns_of_one_name_are_refused_rather_than_lost(asked: Asked) -> None:
    with pytest.raises(InvalidQuestion, match="two columns are called a"):
        asked("SELECT 1 AS a, 2 AS a")


def test_a_query_without_tables_needs_neither_store_nor_raw(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "none")
    assert found(settings, "SELECT 40 + 2 AS a") == [{"a": 42}]
    assert not (tmp_path / "none").exists()
    with pytest.raises(NothingToRecount, match="no raw events"):
        found(settings, "FROM events")
    assert found(settings, "FROM versions") == found(settings, "FROM counts_hour") == []


def test_counts_in_python_answer_in_sql_where_the_settings_are_known(asked: Asked) -> None:
    with Counts.of(asked.settings) as counts:
        table = counts.sql("SELECT sum(value) AS total FROM events WHERE video_id = $video", video="copied")
        assert table.schema.field("total").type == pa.int64()
        assert table.to_pylist()[0]["total"] == sum(
            event.value for event in oracle.distinct(asked.log) if event.video_id == "copied"
        )
    with Counts("http://127.0.0.1:1") as counts, pytest.raises(InvalidQuestion, match=r"Counts\.of"):
        counts.sql("SELECT 1")
