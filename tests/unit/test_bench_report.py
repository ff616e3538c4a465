"""The page of benchmarks: what was recorded is kept whole, and shown beside its peers with its machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import page, report

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_recorded_figures_are_shown_beside_their_peers_with_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    report.record("count", {"count": {"p50": 1.5, "p99": 12.34567}, "bare": {"p50": 1}})
    report.record("archive", {"events_per_s": 61_234.4})
    shown = page.render(report.collect())
    assert '"events_per_s": 61234.4' in capsys.readouterr().out
    assert "| a count over files, median | 1.5 ms | an endpoint that does nothing | 1 ms | 1.50 | 1 |" in shown
    assert "| archive, into a folder | 61\u202f234 events/s |" in shown
    assert "| a count over files, 99th percentile | 12.3 ms | 10 ms |" in shown
    assert "Flink SQL" not in shown.split("Beside others")[1].split("\nFlink and")[0]
    assert f"{report.machine()['cores']} cores" in shown


def test_results_are_kept_whole_and_a_newer_one_takes_the_place_of_the_older_one() -> None:
    kept = Path("kept.json")
    report.record("other", {"of": {"events": [1, 2]}})
    for value in (1, 2):
        report.record("archive", {"events_per_s": value})
        kept.write_text(json.dumps(report.collect(kept=kept)))
    for path in report.RESULTS.glob("*.json"):
        path.unlink()
    results = report.collect(kept=kept)
    assert [result["name"] for result in results] == ["archive", "other"]
    assert [result["figures"] for result in results] == [{"events_per_s": 2}, {"of": {"events": [1, 2]}}]


def test_without_results_the_command_says_what_to_run() -> None:
    with pytest.raises(SystemExit, match="run `make bench` first"):
        report.collect()


def test_the_page_in_the_documents_is_made_of_the_figures_beside_it() -> None:
    kept = json.loads((ROOT / report.KEPT).read_text())
    shown = page.render(kept)
    assert (ROOT / report.PAGE).read_text() == shown
    assert shown.count("\n|") == len(page._PEERS) + len(page._ALONE) + 4
