"""Metrics of commands that end: files that a node exporter reads, whatever the end was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer

from tallymark.cli.textfile import with_metrics
from tallymark.errors import NothingToRecount
from tallymark.settings import Settings
from tests.support.systems import tallymark


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TALLYMARK_METRICS", str(tmp_path / "metrics"))
    return tmp_path / "metrics"


def metrics(path: Path) -> dict[str, float]:
    """By name, without labels."""
    return {
        found[1]: float(found[2])
        for line in path.read_text().splitlines()
        if (found := re.fullmatch(r'(\w+)\{command="recompute"\} (\S+)', line))
    }


def ends_well(*, dry_run: bool = False) -> Mapping[str, float]:
    return {"pairs": 3, "roll_up_seconds": 0.5}


def has_nothing_to_do() -> None:
    raise NothingToRecount("no events yet")


def fails() -> None:
    raise typer.Exit(1)


def test_a_run_that_ends_well_tells_when_how_long_and_its_figures(folder: Path) -> None:
    with_metrics("recompute", ends_well)()
    last, done = metrics(folder / "recompute.prom"), metrics(folder / "recompute-done.prom")
    assert last["tallymark_command_well"] == 1
    assert 0 <= last["tallymark_command_seconds"] < 10
    assert last["tallymark_command_timestamp_seconds"] == done.pop("tallymark_command_done_timestamp_seconds") > 1e9
    assert done == {"tallymark_recompute_pairs": 3, "tallymark_recompute_roll_up_seconds": 0.5}
    assert {path.name for path in folder.iterdir()} == {"recompute.prom", "recompute-done.prom"}


@pytest.mark.parametrize(("run", "raised"), [(has_nothing_to_do, NothingToRecount), (fails, typer.Exit)])
def test_a_run_that_fails_says_so_and_leaves_the_time_of_the_last_good_one(
    folder: Path, run: object, raised: type[Exception]
) -> None:
    with_metrics("recompute", ends_well)()
    before = (folder / "recompute-done.prom").read_bytes()
    with pytest.raises(raised):
        with_metrics("recompute", run)()  # type: ignore[arg-type]
    assert metrics(folder / "recompute.prom")["tallymark_command_well"] == 0
    assert (folder / "recompute-done.prom").read_bytes() == before


def test_a_dry_run_is_no_run(folder: Path) -> None:
    with_metrics("maintain", ends_well)(dry_run=True)
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_fails_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.write_text("a file is in the way")
    with_metrics("recompute", ends_well)()
    assert "no metrics of `tallymark recompute`" in capsys.readouterr().err


def test_the_commands_that_run_on_a_schedule_tell_how_they_ended(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", metrics=tmp_path / "metrics")
    assert tallymark(settings, "recompute").returncode == 1  # nothing was ever archived
    assert tallymark(settings, "audit").returncode == 0
    assert tallymark(settings, "maintain").returncode == 0
    assert {path.stem for path in (tmp_path / "metrics").iterdir()} == {
        "recompute",
        *("audit", "audit-done", "maintain", "maintain-done"),
    }
    assert metrics(tmp_path / "metrics" / "recompute.prom")["tallymark_command_well"] == 0
