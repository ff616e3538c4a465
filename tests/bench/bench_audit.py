"""How long `tallymark audit` takes for a million speed cells, and how much memory. Aims: 60 s, 2 GiB.

`python -m tests.bench.bench_audit [SPEED_CELLS]`. The speed view is what a recount counts by the minute, but for an
event that is taken away here and there: so there are differences in every hour, to be looked for in raw events.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from batch.counting.count import count
from tallymark.buckets import Grain
from tallymark.cells import Cell
from tallymark.documents.progress import Progress
from tallymark.documents.publication import publish_epoch
from tallymark.raw import RawTable
from tallymark.settings import Settings
from tallymark.store import Stamp, ViewStore
from tallymark.store.open import open_store
from tallymark.tally import Tally
from tests.bench.recount_load import DAY_MS, write_raw
from tests.bench.report import record

_CELLS: Final = 1_000_000
_TAKEN: Final = 150  # from one cell in so many
_PUT: Final = 20_000
_LOOK_EVERY: Final = 0.5


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else _CELLS
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        rows = write_raw(Path(settings.raw_uri), wanted * 3 // 2)
        store = open_store(settings)
        publish_epoch(store, 1)
        included = Progress(positions={}, included_until=datetime(2026, 1, 4, tzinfo=UTC))
        store.write_document("progress/archive", included.to_json())
        subprocess.run(
            [sys.executable, "-m", "tallymark", "recompute", "--no-spark", "--json"],
            env=os.environ | settings.environment(),
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        speed = _fill_speed(store, settings)
        store.close()
        record("audit", {"raw_rows": rows, "speed_cells": speed, **_audit(settings)})


def _fill_speed(store: ViewStore, settings: Settings) -> int:
    """What the recount counted by the minute, but for some events; returns how many cells."""
    raw = RawTable(settings.raw_uri).pin()
    put = 0
    hours = list(range(DAY_MS // 60_000, DAY_MS // 60_000 + 1440, 60))
    for shard in sorted({file.shard for file in raw.files}):
        chunk: list[Cell] = []
        for cell in count([file.uri for file in raw.files if file.shard == shard], hours).cells(Grain.MINUTE):
            chunk.append(_without_one(cell) if (put + len(chunk)) % _TAKEN == 0 else cell)
            if len(chunk) == _PUT:
                put += store.put(chunk, version=Stamp(1, 0, 1))
                chunk = []
        put += store.put(chunk, version=Stamp(1, 0, 1))
    return put


def _without_one(cell: Cell) -> Cell:
    of = cell.tally
    return cell._replace(tally=Tally(of.count - 1, of.sum, of.min, of.max, of.users) if of.count > 1 else of)


def _audit(settings: Settings) -> dict[str, Any]:
    started = time.perf_counter()
    command = [sys.executable, "-m", "tallymark", "audit", "--json"]
    with subprocess.Popen(command, env=os.environ | settings.environment(), stdout=subprocess.PIPE) as process:
        most, cpu = 0, 0.0
        while process.poll() is None:
            with suppress(psutil.Error):
                look = psutil.Process(process.pid)
                most, times = max(most, look.memory_info().rss), look.cpu_times()
                cpu = times.user + times.system
            time.sleep(_LOOK_EVERY)
        assert process.stdout is not None
        found = json.loads(process.stdout.read())
    seconds = time.perf_counter() - started
    page = Path(found["report"])
    figures = found["figures"]
    return {
        "hour_cells": sum(figures[name] for name in ("equal", "differing", "missing", "extra")),
        "differing": figures["differing"],
        "seconds": round(seconds, 1),
        "cpu_s": round(cpu, 1),
        "load": round(os.getloadavg()[0], 1),
        "memory_mib": round(most / 2**20),
        "report_kib": round(page.stat().st_size / 1024),
    }


if __name__ == "__main__":
    main()
