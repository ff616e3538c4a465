"""`tallymark sql` as people type it, over files and over HBase and S3, and the examples of its page."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.system import tallymark_command
from tallymark.client import Counts
from tallymark.documents.progress import Progress
from tallymark.event import Event
from tallymark.instants import instant
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tests.support import oracle
from tests.support.modes import embedded_only
from tests.support.raw_tables import commits, written
from tests.support.recounts import MIDNIGHT
from tests.support.systems import ROOT, environment, tallymark

PAGE = ROOT / "docs" / "sql.md"
EVENTS = [
    Event(
        event_id=f"e{n}",
        type=("view", "like")[n % 2],
        video_id=("ATL", "ORD", "JFK")[n % 3],
        occurred_at=(MIDNIGHT + 7 * n) * 60_000,
        value=n,
        user_id=f"u{n % 20}",
        attributes={"country": ("de", "fr")[n % 2]} if n % 5 else {},
    )
    for n in range(600)
]
LOG = [*EVENTS, *EVENTS[::10]]


@pytest.fixture(scope="module")
def counted(new_settings: Callable[..., Settings], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a system whose raw events were recounted once."""
    settings: Settings = new_settings(tmp_path_factory.mktemp("sql") / "home")
    with closing(open_store(settings)) as store:
        commits(settings, store).add(written(settings, LOG), 0)
        progress = Progress(positions={0: len(LOG)}, included_until=instant(MIDNIGHT + 100_000))
        store.write_document("progress/archive", progress.to_json())
    done = tallymark(settings, "recompute")
    assert done.returncode == 0, done.stderr
    return settings


def rows(settings: Settings, query: str, *options: str) -> list[dict[str, object]]:
    done = tallymark(settings, "sql", query, "--json", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_command_answers_from_raw_events_and_from_published_counts(counted: Settings) -> None:
    distinct = oracle.distinct(LOG)
    assert rows(counted, "SELECT count(*) AS n, sum(value) AS total FROM events") == [
        {"n": len(distinct), "total": sum(event.value for event in distinct)}
    ]
    assert rows(counted, "SELECT count(*) AS n FROM raw") == [{"n": len(LOG)}]
    of_one = "SELECT sum(count) AS n FROM counts_hour WHERE video_id = 'ATL' AND complete_days"
    refused = tallymark(counted, "sql", of_one)
    assert refused.returncode == 1
    assert "complete_days" in refused.stderr
    sealed = "SELECT count(*) AS n FROM events, versions WHERE occurred_at < exact_until AND video_id = 'ATL'"
    assert rows(counted, sealed) == rows(counted, "SELECT sum(count) AS n FROM counts_day WHERE video_id = 'ATL'")
    with Counts.of(counted) as counts:
        table = counts.sql("SELECT attributes['country'] AS country, count(*) AS n FROM events GROUP BY ALL")
    found = {row["country"]: row["n"] for row in table.to_pylist()}
    assert found == {"de": 240, "fr": 240, None: 120}


@embedded_only
def test_results_come_as_a_table_csv_json_parquet_and_arrow(counted: Settings, tmp_path: Path) -> None:
    query = "SELECT event_id, occurred_at, value, user_id, attributes FROM events ORDER BY value"
    shown = tallymark(counted, "sql", query)
    assert "the first 50 rows of more" in shown.stdout
    assert "event_id" in shown.stdout
    assert "1 row" in tallymark(counted, "sql", "SELECT 1 AS a").stdout
    by_line = list(csv.DictReader(io.StringIO(tallymark(counted, "sql", query, "--csv").stdout)))
    assert len(by_line) == 600
    assert by_line[1]["occurred_at"] == "2026-02-01T00:07:00Z"
    assert json.loads(by_line[1]["attributes"]) == {"country": "fr"}
    as_json = rows(counted, query)
    assert as_json[0]["attributes"] is None
    assert as_json[1]["attributes"] == {"country": "fr"}
    parquet, arrow = tmp_path / "rows.parquet", tmp_path / "rows.arrow"
    assert "600 rows" in tallymark(counted, "sql", query, "--parquet", str(parquet)).stdout
    tallymark(counted, "sql", query, "--arrow", str(arrow))
    with pa.OSFile(str(arrow)) as file:
        assert pa.ipc.open_stream(file).read_all().num_rows == pq.read_table(parquet).num_rows == 600
    command = tallymark_command("sql", "-", "--arrow", "-")
    piped = subprocess.run(
        command, input=query.encode(), capture_output=True, check=True, env=environment(counted), cwd=ROOT, timeout=60
    )
    assert pa.ipc.open_stream(piped.stdout).read_all().column("value").to_pylist() == list(range(600))
    assert sorted(tmp_path.iterdir()) == [arrow, parquet]
    for wrong in (("--csv", "--json"), ("--parquet", str(tmp_path / "no" / "file")), ("--timeout", "soon")):
        assert tallymark(counted, "sql", query, *wrong).returncode == 1


@embedded_only
def test_what_is_refused_says_what_can_be_asked(counted: Settings, tmp_path: Path) -> None:
    for hostile in (f"COPY events TO '{tmp_path}/out.csv'", "SELECT * FROM read_text('/etc/passwd')", "DROP VIEW raw"):
        done = tallymark(counted, "sql", hostile)
        assert (done.returncode, done.stdout) == (1, "")
        assert "sql: " in done.stderr
        assert "root:" not in done.stderr
    assert not list(tmp_path.iterdir())


@embedded_only
def test_control_c_ends_a_query_at_once(counted: Settings) -> None:
    endless = "SELECT count(*) FROM range(100000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3"
    with subprocess.Popen(
        tallymark_command("sql", endless), env=environment(counted), cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            # it is at work when it has taken more processor time than starting takes
            deadline = time.monotonic() + 60
            while _processor_seconds(process.pid) < 4 and time.monotonic() < deadline:
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in said


def _processor_seconds(pid: int) -> float:
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@embedded_only
def test_every_example_of_the_page_on_sql_runs(counted: Settings, tmp_path: Path) -> None:
    examples = re.findall(r"^    (tallymark sql (?:\"[^\"]*\"|[^\"\n])*)$", PAGE.read_text(), re.MULTILINE)
    assert len(examples) >= 8
    for example in examples:
        _, *arguments = shlex.split(example.replace("\\\n", ""))
        arguments = [str(tmp_path / part) if part.endswith((".parquet", ".arrow")) else part for part in arguments]
        done = tallymark(counted, *arguments)
        assert done.returncode == 0, f"{example}: {done.stderr}"
        assert done.stdout
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(counted),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
