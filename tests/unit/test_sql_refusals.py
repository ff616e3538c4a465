"""What a query in SQL cannot do: write, attach, read other files, see secrets, or take more than its share."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from tallymark.errors import InvalidQuestion
from tallymark.sql.session import _Runner
from tests.support.asked import Asked, found

HOSTILE = [
    "INSERT INTO events VALUES (1)",
    "UPDATE events SET value = 0",
    "DELETE FROM raw",
    "DROP VIEW events",
    "CREATE TABLE mine (a INT)",
    "CREATE TEMP VIEW mine AS SELECT 1",
    "CREATE MACRO mine() AS 1",
    "CREATE SECRET mine (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "ALTER TABLE counts_hour ADD COLUMN a INT",
    "TRUNCATE counts_hour",
    "VACUUM",
    "CHECKPOINT",
    "BEGIN",
    "COMMIT",
    "COPY (SELECT 1) TO '{folder}/out.csv'",
    "COPY events TO '{folder}/out.parquet'",
    "COPY counts_hour FROM '{file}'",
    "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}'",
    "ATTACH '{folder}/out.db' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH memory",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{file}'",
    "FORCE INSTALL sqlite FROM community",
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "SET lock_configuration = false",
    "RESET ALL",
    "PRAGMA enable_profiling",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "CALL enable_logging()",
    "EXPLAIN ANALYZE SELECT 1",
    "PREPARE mine AS SELECT 1",
    "SELECT * FROM '{file}'",
    'SELECT * FROM "{file}"',
    "SELECT * FROM '{folder}/*.csv'",
    "SELECT * FROM 's3://bucket/file.parquet'",
    "SELECT * FROM 'https://example.org/a.csv'",
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_csv_auto(['{file}'])",
    "SELECT * FROM read_parquet('{raw}/*/*/*.parquet')",
    "SELECT * FROM parquet_metadata('{raw}/*/*/*.parquet')",
    "SELECT * FROM read_json('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM delta_scan('{raw}')",
    "SELECT * FROM sqlite_scan('{folder}/views.sqlite', 'batch')",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('events')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_temporary_files()",
    "SELECT * FROM which_secret('s3://a', 's3')",
    "SELECT * FROM arrow_scan(0, 0, 0)",
    "SELECT * FROM python_map_function(0, 0)",
    "SELECT * FROM pragma_table_info('events')",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM force_checkpoint()",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM files_of_events",
    "SELECT * FROM temp.main.events",
    "SELECT getenv('AWS_SECRET_ACCESS_KEY')",
    "SELECT current_setting('temp_directory')",
    "SELECT sleep_ms(100000)",
    "SELECT write_log('mine')",
    "SELECT (SELECT content FROM read_text('{file}'))",
    "WITH a AS (SELECT * FROM read_text('{file}')) SELECT * FROM a",
    "SELECT 1 UNION ALL SELECT content FROM read_text('{file}')",
    "SELECT 1 WHERE EXISTS (FROM '{file}')",
    "SELECT * FROM events, LATERAL (SELECT * FROM read_text('{file}'))",
    "SELECT 1; DROP VIEW events",
    "SELECT 1; SELECT 2",
    "SELECT * FROM settings",
    "SELECT * FROM environ",
    "SHOW TABLES",
    "SHOW DATABASES",
    "DESCRIBE '{file}'",
    "SUMMARIZE '{file}'",
    "",
    ";",
    "SELEC 1",
    "SELECT " + "+".join(["1"] * 20_000),
    "SELECT * FROM (" * 2000 + "SELECT 1" + ")" * 2000,
]


@pytest.mark.parametrize("statement", HOSTILE, ids=lambda statement: statement[:60])
def test_what_writes_attaches_or_reads_other_files_is_refused(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-to-be-told")
    file = tmp_path / "secret.csv"
    file.write_text("a\nnot-to-be-told\n")
    before = sorted(tmp_path.iterdir())
    text = statement.replace("{file}", str(file)).replace("{folder}", str(tmp_path))
    with pytest.raises(InvalidQuestion) as refused:
        asked(text.replace("{raw}", asked.settings.raw_uri))
    assert "not-to-be-told" not in str(refused.value)
    assert sorted(tmp_path.iterdir()) == before
    assert file.read_text() == "a\nnot-to-be-told\n"


BEHIND = [each for each in HOSTILE if ("{file}" in each or "{raw}" in each or "://" in each) and "which_" not in each]


@pytest.mark.parametrize("statement", [*BEHIND, "SET lock_configuration = false", "LOAD httpfs", "INSTALL httpfs"])
def test_the_database_refuses_files_by_itself_too(asked: Asked, tmp_path: Path, statement: str) -> None:
    """The first look at a query may be mistaken one day: what comes past it finds a locked database."""
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    text = statement.replace("{file}", str(file)).replace("{folder}", str(tmp_path))
    with ExitStack() as opened:
        runner = opened.enter_context(_Runner.within(asked.settings, 30, opened))
        with pytest.raises(duckdb.Error):
            runner.database.execute(text.replace("{raw}", asked.settings.raw_uri)).fetchall()


def test_variables_of_the_process_are_no_tables(asked: Asked) -> None:
    mine = pa.table({"a": [1]})
    assert mine.num_rows
    with pytest.raises(InvalidQuestion, match="no table 'mine'"):
        asked("SELECT * FROM mine")


def test_a_query_that_takes_too_long_ends_and_says_what_to_do(asked: Asked) -> None:
    began = time.monotonic()
    endless = "SELECT count(*) FROM range(100000000) a, range(100000) b WHERE (a.range * b.range) % 7 = 3"
    with pytest.raises(InvalidQuestion, match=r"longer than 0\.5 s"):
        asked(endless, timeout=0.5)
    assert time.monotonic() - began < 30


def test_a_query_that_needs_too_much_memory_is_refused(asked: Asked) -> None:
    few = replace(asked.settings, sql_memory=20_000_000)
    with pytest.raises(InvalidQuestion, match="sql_memory"):
        found(few, "SELECT list(a.range::VARCHAR || repeat('x', 100)) AS all FROM range(10000000) AS a")
    with pytest.raises(InvalidQuestion, match="--parquet"):
        found(few, "SELECT range, repeat('x', 100) AS wide FROM range(1000000)")
