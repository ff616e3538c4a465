"""The table of benchmarks: what was recorded is what is shown, with the machine it was taken on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import report


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_recorded_figures_are_shown_with_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    report.record("ingest", {"events_per_second": 61_234.4, "posts": {"of": 200, "p99_ms": 1.23456}})
    report.record("count", {"ratio beside a|b": 0.5})
    page = report.render()
    assert '"events_per_second": 61234.4' in capsys.readouterr().out
    assert page.index("## count") < page.index("## ingest")
    assert "| events per second | 61\u202f234 |" in page
    assert "| posts · p99 ms | 1.235 |" in page
    assert "| ratio beside a\\|b | 0.5 |" in page
    assert f"{report.machine()['cores']} cores" in page


def test_a_newer_result_takes_the_place_of_the_older_one() -> None:
    for value in (1, 2):
        report.record("ingest", {"events": value})
    assert "| events | 2 |" in report.render()
    assert "| events | 1 |" not in report.render()


def test_without_results_the_command_says_what_to_run() -> None:
    with pytest.raises(SystemExit, match="run `make bench` first"):
        report.render()
