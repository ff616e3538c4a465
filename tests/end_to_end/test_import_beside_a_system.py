"""History beside a system that runs: killed, run again, counted once, and exact by itself."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from infra.system import tallymark_command
from tallymark.raw import RawTable
from tallymark.settings import Settings
from tests.support.apis import client
from tests.support.gateways import send, views
from tests.support.systems import ROOT, environment, eventually, running, settings_in, told

ROWS: Final = 2_500_000
START: Final = datetime(2024, 3, 1, tzinfo=UTC)
MAP: Final = '[event]\ntype = {constant = "view"}\nvideo_id = "v"\noccurred_at = {column = "at", unit = "s"}\n'


@pytest.mark.slow
def test_an_import_that_is_killed_and_run_again_is_counted_once(tmp_path: Path) -> None:
    at = int(START.timestamp())
    numbers = pl.DataFrame({"n": range(ROWS)})
    frame = numbers.select(v=pl.concat_str(pl.lit("video-"), pl.col("n") % 50), at=at + pl.col("n"))
    frame.write_parquet(tmp_path / "history.parquet")
    (tmp_path / "map.toml").write_text(MAP)
    command = ("import", str(tmp_path / "history.parquet"), "--map", str(tmp_path / "map.toml"))
    with running(settings_in(tmp_path / "home", recount_every=timedelta(seconds=2))) as settings:
        table = RawTable(settings.raw_uri)
        with subprocess.Popen(tallymark_command(*command), env=environment(settings), cwd=ROOT) as process:
            eventually(lambda: rows_in(table) or process.poll() is not None, every=0.01)
            process.kill()
        before = rows_in(table)
        assert 0 < before < ROWS
        done: Any = told(settings, *command)
        assert before + done["events"] == rows_in(table) == ROWS
        assert send(settings, views("now", 1)).status == 202  # event time goes on: all of the history is sealed
        eventually(lambda: answer(settings) == (ROWS // 50, True, []), within=120, every=0.5)
        assert told(settings, *command)["imported_before"]


def rows_in(table: RawTable) -> int:
    return sum(file.rows for file in table.pin().files)


def answer(settings: Settings) -> tuple[Any, bool, list[str]]:
    with client(settings) as api:
        given = api.count("video-7", start=START, end=START + timedelta(days=40))
    return given.value, given.exact, [str(lack.code) for lack in given.degraded]
