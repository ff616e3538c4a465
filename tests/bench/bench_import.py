"""Importing history: rows a second and memory for each format, and what a commit of scattered events costs.

python -m tests.bench.bench_import            # on disk
python -m tests.bench.bench_import s3://…     # with the AWS_* variables of that place
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
import psutil

from tallymark.event import Event
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tests.bench.report import record
from tests.support.raw_tables import commits, written
from tests.support.recounts import MIDNIGHT
from tests.support.systems import ROOT, environment

_ROWS: Final = 3_000_000
_SCATTERED: Final = 20_000
_YEARS: Final = 13
_MAP: Final = """
[event]
type = { constant = "view" }
video_id = "page"
occurred_at = { column = "at", unit = "s" }
value = "seconds"
user_id = "visitor"
"""


def history(folder: Path) -> dict[str, Path]:
    """A year of views in each format: Zipf videos, half a million users, in order of time."""
    chance = np.random.default_rng(1)
    at = np.sort(chance.integers(1_672_531_200, 1_704_067_200, _ROWS))
    frame = pl.DataFrame(
        {
            "at": at,
            "page": [f"Page {page}" for page in chance.zipf(1.3, _ROWS) % 20_000],
            "visitor": [f"u{user}" for user in chance.integers(0, 500_000, _ROWS)],
            "seconds": chance.integers(1, 3000, _ROWS),
        }
    )
    files = {name: folder / f"views.{name}" for name in ("parquet", "csv", "ndjson")}
    frame.write_parquet(files["parquet"])
    frame.write_csv(files["csv"])
    frame.write_ndjson(files["ndjson"])
    return files


def imported(settings: Settings, file: Path, mapping: Path) -> dict[str, Any]:
    """What the command says, its memory, and the seconds of all of it."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "tallymark", "import", str(file), "--map", str(mapping), "--json"]
    with subprocess.Popen(command, env=environment(settings), cwd=ROOT, stdout=subprocess.PIPE) as process:
        most = 0
        seen = psutil.Process(process.pid)
        while process.poll() is None:
            most = max(most, seen.memory_info().rss if seen.status() != psutil.STATUS_ZOMBIE else 0)
            time.sleep(0.02)
        assert process.stdout is not None
        told = msgspec.json.decode(process.stdout.read())
    assert told["events"] == _ROWS, told
    return {
        "rows_per_second": round(_ROWS / told["seconds"]),
        "seconds_with_start": round(time.perf_counter() - began, 2),
        "memory_mb": round(most / 1e6),
        "files": told["files"],
        "mb_of_source": round(file.stat().st_size / 1e6),
    }


def scattered(settings: Settings) -> dict[str, Any]:
    """An archive's commit of events of thirteen years."""
    chance = np.random.default_rng(1)
    minutes = chance.integers(MIDNIGHT - _YEARS * 365 * 1440, MIDNIGHT - 1440, _SCATTERED)
    events = [
        Event(event_id=f"{n}", type="view", video_id=f"video-{n % 4000}", occurred_at=int(minute) * 60_000 + n)
        for n, minute in enumerate(minutes)
    ]
    with closing(open_store(settings)) as store:
        began = time.perf_counter()
        files = written(settings, events)
        commits(settings, store).add(files, 0)
        seconds = time.perf_counter() - began
    return {"events": _SCATTERED, "years": _YEARS, "files": len(files), "seconds": round(seconds, 2)}


def main() -> None:
    raw = sys.argv[1].rstrip("/") if len(sys.argv) > 1 else ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mapping = folder / "map.toml"
        mapping.write_text(_MAP)
        figures: dict[str, Any] = {"rows": _ROWS, "raw": "s3" if raw else "disk"}
        for kind, file in history(folder).items():
            figures[kind] = imported(Settings(home=folder / kind, raw=raw and f"{raw}/{kind}"), file, mapping)
        figures["scattered"] = scattered(Settings(home=folder / "scattered", raw=raw and f"{raw}/scattered"))
    record("import-s3" if raw else "import", figures)


if __name__ == "__main__":
    main()
