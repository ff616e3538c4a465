"""How long a recount takes, beside plain DuckDB on the same files in the same run, and how much memory.

`python -m tests.bench.bench_recompute [EVENTS]`, by default ten million. Needs the package duckdb.

DuckDB answers one question in memory: count, sum, min, max and distinct users by video, type and hour. The kernel
answers the same, with the users of each as coupons, and tallies minutes too. A recount makes rows of four grains,
durable and versioned.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

from tallymark.documents.progress import Progress
from tallymark.event import Event
from tallymark.instants import millis_of
from tallymark.raw import RawTable, RawVersion
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tests.bench.phases import deadline, say
from tests.bench.recount_load import DAY_MS, write_raw
from tests.bench.report import record
from tests.support.raw_writer import RawRow, RawWriter

_EVENTS: Final = 10_000_000
_RUNS: Final = 3
_SPREAD_RUNS: Final = 2
_PROCESSES: Final = 2
_LOOK_EVERY: Final = 0.5
_EVER: Final = 2**62
_INCLUDED: Final = datetime(2026, 1, 3, tzinfo=UTC)
_HOURS: Final = range(DAY_MS // 60_000, DAY_MS // 60_000 + 1440, 60)
_TALLIES: Final = (
    "SELECT video_id, type, hour, count(*), sum(value), min(value), max(value), count(DISTINCT user_id) "
    "FROM {} GROUP BY ALL"
)
_KEYS: Final = "event_id, video_id, occurred_at // 3600000"
_QUERIES: Final = {
    "duckdb_any_copy": f"(SELECT DISTINCT ON ({_KEYS}) *, occurred_at // 3600000 AS hour FROM raw)",
    "duckdb_first_copy": f"(SELECT *, occurred_at // 3600000 AS hour FROM raw QUALIFY row_number() OVER "
    f"(PARTITION BY {_KEYS} ORDER BY appended_at, log_partition, log_offset) = 1)",
}


def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else _EVENTS
    with deadline(30), tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "zipf")
        say(f"writing {events:,} raw events")
        rows = write_raw(Path(settings.raw_uri), events)
        raw = RawTable(settings.raw_uri).pin()
        say("one question")
        asked, recount = _beside_duckdb(raw), _recounts(settings)
        figures = {"rows": rows, "one_question": asked, "recount": recount}
        bare = asked["seconds"]["duckdb_first_copy"]
        figures["recount_over_duckdb_first_copy"] = round(recount["all"]["command_s"] / bare, 2)
        record("recompute", figures | {"traffic_rows_per_s": _spread(Path(folder), events)})


def _spread(folder: Path, events: int) -> dict[str, Any]:
    """The command: even traffic, and nine tenths of all events on one video in one hour; with all to do, in turns."""
    rates: dict[str, list[float]] = {"even": [], "hot": []}
    for traffic in rates:
        write_raw(Path(Settings(home=folder / traffic).raw_uri), events, traffic=traffic)
    for turn in range(_SPREAD_RUNS):
        for traffic, found in rates.items():
            say(f"recount of {traffic} traffic, turn {turn + 1}")
            settings = _archived(Settings(home=folder / traffic), f"turn-{turn}")
            done = _recompute(settings, "--no-spark")
            found.append(done["rows"] / sum(done["seconds"].values()))
    even, hot = (median(found) for found in rates.values())
    return {"even": round(even), "one_hot_hour": round(hot), "one_hot_hour_to_even": round(hot / even, 2)}


def _beside_duckdb(raw: RawVersion) -> dict[str, Any]:
    """Medians of runs that take turns, so that a busy machine is busy for all."""
    with _duckdb(raw) as ask, _kernel(raw) as count:
        asked: dict[str, Callable[[], int]] = {name: lambda q=query: ask(q) for name, query in _QUERIES.items()}
        asked["kernel_with_users"] = count
        seconds: dict[str, list[float]] = {name: [] for name in asked}
        cells = set()
        for _ in range(_RUNS):
            for name, run in asked.items():
                started = time.perf_counter()
                cells.add(run())
                seconds[name].append(time.perf_counter() - started)
    assert len(cells) == 1, f"they do not agree on the number of cells: {cells}"
    medians = {name: median(times) for name, times in seconds.items()}
    ratios = {f"kernel_over_{name}": round(medians["kernel_with_users"] / medians[name], 2) for name in _QUERIES}
    return {"cells": cells.pop(), "seconds": {name: round(each, 2) for name, each in medians.items()}, **ratios}


@contextmanager
def _duckdb(raw: RawVersion) -> Iterator[Callable[[str], int]]:
    try:
        import duckdb
    except ImportError:
        sys.exit("this benchmark compares with duckdb, which is not installed: pip install duckdb")
    connection = duckdb.connect()
    connection.execute(f"SET threads = {_PROCESSES}")
    files = [file.uri for file in raw.files]
    connection.read_parquet(files, hive_partitioning=False).create_view("raw")
    yield lambda distinct: connection.execute(_TALLIES.format(distinct)).to_arrow_table().num_rows
    connection.close()


@contextmanager
def _kernel(raw: RawVersion) -> Iterator[Callable[[], int]]:
    shards = {file.shard: [each.uri for each in raw.files if each.shard == file.shard] for file in raw.files}
    os.environ["POLARS_MAX_THREADS"] = "1"  # of the workers, which are started now
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        list(pool.map(_count_hours, [[]] * _PROCESSES))
        del os.environ["POLARS_MAX_THREADS"]
        yield lambda: sum(pool.map(_count_hours, shards.values()))


def _count_hours(files: list[str]) -> int:
    from batch.counting.count import count
    from tallymark.buckets import Grain

    counted = count(files, list(_HOURS), taken_before=_EVER).minutes.rolled_up(Grain.HOUR)
    return int((counted.count > 0).sum())


def _recounts(settings: Settings) -> dict[str, Any]:
    """The command: with all to do, here and on Spark; with nothing to do; after a single late event."""
    here, on_spark = _archived(settings, "here"), _archived(settings, "on-spark")
    say("recounts")
    figures = {"all": _recompute(here, "--no-spark"), "all_on_spark": _recompute(on_spark, "--spark")}
    store = here.home / "here.sqlite"
    figures["all"]["stored_mb_per_million"] = round(store.stat().st_size / figures["all"]["rows"], 1)
    figures["nothing"] = _recompute(here, "--no-spark")
    late = Event(event_id="late", type="view", video_id="video-000007", occurred_at=DAY_MS + 5 * 3_600_000)
    taken_ms = millis_of(_INCLUDED) + 1000
    RawWriter(Path(settings.raw_uri)).commit([RawRow(late, taken_ms, 0, 0)])
    _note_archived(here, _INCLUDED + timedelta(hours=1))
    return figures | {"one_late_event": _recompute(here, "--no-spark")}


def _archived(settings: Settings, name: str) -> Settings:
    """The same raw events with a store of its own, in which nothing is counted yet."""
    fresh = replace(settings, store=f"sqlite:{settings.home}/{name}.sqlite")
    _note_archived(fresh, _INCLUDED)
    return fresh


def _note_archived(settings: Settings, until: datetime) -> None:
    with closing(open_store(settings)) as store:
        store.write_document("progress/archive", Progress(positions={}, included_until=until).to_json())


def _recompute(settings: Settings, how: str) -> dict[str, Any]:
    """Figures of one `tallymark recompute` from its start to its end, the start of Spark included.

    `cpu_s` and `memory_mib` (the most at once) are of all its processes. Neighbours on the machine stretch the seconds
    of the clock; those of the processor far less. Looking costs time too, so it is done once a second.
    """
    command = [sys.executable, "-m", "tallymark", "recompute", how, "--json"]
    environment = os.environ | settings.environment()
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        most = 0
        cpu: dict[int, float] = {}
        while process.poll() is None:
            memory = _look(process.pid, cpu)
            most = max(most, memory)
            time.sleep(_LOOK_EVERY)
        assert process.stdout is not None
        done = json.loads(process.stdout.read())
    wall = time.perf_counter() - started
    shown = {name: done[name] for name in ("pairs", "rows", "events", "duplicates", "written")}
    steps = {step: round(seconds, 2) for step, seconds in done["seconds"].items()}
    return {
        **shown,
        "command_s": round(wall, 1),
        "cpu_s": round(sum(cpu.values()), 1),
        "load": round(os.getloadavg()[0], 1),
        "seconds": steps,
        "memory_mib": round(most / 2**20),
    }


def _look(pid: int, cpu: dict[int, float]) -> int:
    """Bytes that a process and all below it hold, shared ones once; `cpu` gets the seconds of each so far."""
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                times = each.cpu_times()
                cpu[each.pid] = times.user + times.system
                total += each.memory_full_info().pss
    return total


if __name__ == "__main__":
    main()
