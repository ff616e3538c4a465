"""`make load`, `make stress` and `make soak`: a whole system under load, and what became of it.

Each starts a system of its own in a temporary folder, on loopback alone, and ends it. Figures go to
bench-results/load/; `--docs` puts them into docs/load/ too and makes docs/load.md of all that is there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from tests.bench.phases import deadline, say
from tests.bench.report import RESULTS, describe
from tests.load.page import DOCS, write_page
from tests.load.runs import Much, load, soak, stress
from tests.load.tables import failures, tables

__all__: list[str] = []

_SPARE_MINUTES: Final = 12.0  # beyond the load itself: a start, the last answers, an end


class _Run(NamedTuple):
    measure: Callable[[Much], dict[str, Any]]
    usual: Much
    steps: int  # at most


_RUNS: Final = {
    "load": _Run(load, Much(events_per_s=10_000, questions_per_s=20, seconds=60, warm_up=40), 1),
    "stress": _Run(stress, Much(events_per_s=20_000, questions_per_s=20, seconds=10, warm_up=30), 12),
    "soak": _Run(soak, Much(events_per_s=2_000, questions_per_s=10, seconds=900, warm_up=240), 1),
}


def main(arguments: Sequence[str]) -> int:
    """0, or 1 when something is not as it should be."""
    asked = _parser().parse_args(arguments)
    run = _RUNS[asked.run]
    much = Much(**{name: getattr(asked, name) or getattr(run.usual, name) for name in Much._fields})
    load_before = os.getloadavg()[0]
    if load_before > 1:
        say(f"others use this machine (load average {load_before:.1f}): the figures are theirs too")
    with deadline((much.warm_up + run.steps * much.seconds) / 60 + _SPARE_MINUTES):
        figures = {"load_average_before": round(load_before, 1), **run.measure(much)}
    result = describe(asked.run, figures)
    written = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    for folder in (RESULTS / "load", *([DOCS] if asked.docs else [])):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{asked.run}.json").write_text(written)
    if asked.docs:
        write_page()
    missed = failures(asked.run, figures)
    print(
        written if asked.json else "\n".join([*tables(asked.run, figures), "", *(missed or ["All as it should be."])])
    )
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("run", choices=_RUNS)
    parser.add_argument("--events-per-s", type=float, help="in a stress run, those of its first step")
    parser.add_argument("--questions-per-s", type=float)
    parser.add_argument("--seconds", type=float, help="that count; in a stress run, of each step")
    parser.add_argument("--warm-up", type=float, help="seconds before, in which Spark and the JVM get going")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--docs", action="store_true", help="put figures, tables and pictures into docs/")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
