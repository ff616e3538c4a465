"""What is said of a load: from what the generator told to tables, and what is not as it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.load.figures import accepted_events, disk, memory, summary
from tests.load.generator import Told
from tests.load.page import DOCS, PAGE, render
from tests.load.tables import failures, tables
from tests.load.watch import Look, slope_per_minute

ROOT = Path(__file__).parents[2]


def told() -> Told:
    """Two seconds: ten posts a second, of which the second one's are refused but for two; and one without an answer."""
    first = [(n / 10, 202, 10.0 + n, 0.5) for n in range(10)]
    second = [(1 + n / 10, 202 if n < 2 else 429, 5.0, 0.5) for n in range(9)]
    questions = [(n / 10, 200, 3.0, 700) for n in range(20)]
    return Told(0.0, [*first, *second, (1.9, 0, 9999.0, 0.5)], questions, [(0.5, 600.0), (1.5, 650.0)], unseen=1)


def test_what_was_accepted_refused_and_not_answered_is_told_apart() -> None:
    found = summary(told(), since=1, until=2)
    assert (found["offered_events_per_s"], found["accepted_events_per_s"]) == (2000, 400)
    assert (found["refused"], found["unanswered"], found["failed"]) == (0.7, 0.1, 0)


def test_durations_are_those_of_accepted_posts_in_the_time_asked_for() -> None:
    found = summary(told(), since=0, until=1)
    assert found["post_ms"]["p50"] == 14.5
    assert found["refusal_ms"] == {}
    assert found["freshness_stated_ms"]["p50"] == 700


def test_an_answer_that_is_no_verdict_is_a_failure() -> None:
    broken = told()
    broken.posts.append((0.95, 500, 1.0, 0.0))
    broken.questions.append((0.95, 503, 1.0, -1))
    assert summary(broken, since=0, until=1)["failed"] == 2


def test_acknowledged_events_are_counted_with_the_probes() -> None:
    assert accepted_events(told()) == 12 * 200 + 3


def look(at: float, *, mb: float, files: int) -> Look:
    return Look(at, {"api": mb}, {"api": 0}, {"raw": files}, {"raw": files / 10})


def test_growth_is_the_slope_of_the_line_through_all_looks_after_the_warm_up() -> None:
    looks = [look(0, mb=10, files=1), *(look(60 * n, mb=100 + 2 * n, files=n) for n in range(1, 11))]
    assert memory("api", looks, since=60) == {"first_mb": 102, "last_mb": 120, "slope_mb_per_min": 2}
    assert disk("raw", looks, since=60)["files_second_half"] == 10
    assert memory("api", looks[:1], since=0) == {}
    assert slope_per_minute([(0, 1), (30, 2), (60, 3)]) == 2


SOAK: dict[str, Any] = {
    "unanswered": 0.0,
    "failed": 0,
    "probes_unseen": 0,
    "restarts": {"stream": 0},
    "memory": {"api": {"first_mb": 50, "last_mb": 51, "slope_mb_per_min": 0.1}},
    "home": {"logs": {"files_first_half": 5, "files_second_half": 5}},
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"memory": {"api": {"slope_mb_per_min": 1.2}}}, "api grows by 1.2 MB a minute"),
        ({"home": {"logs": {"files_first_half": 50, "files_second_half": 90}}}, "logs has 90 files"),
        ({"restarts": {"stream": 2}}, "stream was started again 2 times"),
        ({"probes_unseen": 3}, "3 probes were not counted"),
    ],
)
def test_a_soak_says_what_grows_and_what_had_to_be_started_again(changed: dict[str, Any], said: str) -> None:
    assert failures("soak", SOAK) == []
    (line,) = failures("soak", SOAK | changed)
    assert said in line


def test_beyond_the_knee_something_must_be_refused_and_what_is_accepted_must_be_quick() -> None:
    beyond = {"asked_events_per_s": 90_000, "refused": 0.0, "post_ms": {"p99": 4700.0}}
    stress = {"half": {"post_ms": {"p99": 60.0}}, "beyond": [beyond], "accepted_events": 5, "events_in_the_log": 4}
    lines = "\n".join(failures("stress", stress))
    assert "at half of the knee a post takes 60.0 ms" in lines
    assert "at 90,000 events/s nothing was refused" in lines
    assert "what was accepted took 4700.0 ms" in lines
    assert "not in the log" in lines


def test_the_page_in_the_documents_is_made_of_the_figures_beside_it() -> None:
    results = [json.loads(path.read_text()) for path in (ROOT / DOCS).glob("*.json")]
    assert {result["name"] for result in results} <= {"load", "stress", "soak"}
    assert (ROOT / PAGE).read_text() == render(results)
    assert all((ROOT / DOCS / f"{result['name']}.svg").is_file() for result in results)
    assert all(tables(result["name"], result["figures"]) for result in results)
