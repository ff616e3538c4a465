"""The command starts quickly, since heavy things load when they are used.

The aims are 50 ms for `import tallymark` and 300 ms for `tallymark --help`; a machine that is busy with other tests may
take a few times that, so only what no busy machine explains fails here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.support.damage import events, settings_of
from tests.support.recounts import World

ROOT = Path(__file__).resolve().parents[2]
IMPORT_MS, HELP_MS, SLACK = 50, 300, 4


def median_ms(*arguments: str, runs: int = 5) -> float:
    def once() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, check=True)
        return (time.perf_counter() - start) * 1000

    once()  # the first one compiles
    return median(once() for _ in range(runs))


def test_import_tallymark_is_quick(record_property: Callable[[str, object], None]) -> None:
    took = median_ms("-c", "import tallymark") - median_ms("-c", "pass")
    record_property("import_ms", round(took, 1))
    assert took <= IMPORT_MS * SLACK


def test_help_is_quick(record_property: Callable[[str, object], None]) -> None:
    took = median_ms("-m", "tallymark", "--help")
    record_property("help_ms", round(took, 1))
    assert took <= HELP_MS * SLACK


def loaded_by(*command: str, among: set[str], environment: dict[str, str] | None = None) -> list[str]:
    """Which modules a command has loaded when it ends."""
    code = (
        f"import sys; sys.argv = {['tallymark', *command]}\n"
        "from tallymark.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('LOADED', *sorted({among} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=True,
    )
    said, *loaded = done.stdout.splitlines()[-1].split()
    assert said == "LOADED"
    return loaded


def test_help_loads_no_layer_and_nothing_heavy() -> None:
    heavy = {"pyspark", "rich", "fastapi", "msgspec", "psutil", "stream", "batch", "serving", "numpy"}
    assert loaded_by("--help", among=heavy) == []


def test_a_recount_of_little_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.append(*events(0))
    environment = settings_of(world).environment()
    counting = {"polars", "numpy", "pyarrow", "batch.counting.count"}
    never = {"pyspark", "pandas", "rich", "boto3", "multiprocessing.pool", "concurrent.futures.process"}
    of_few = loaded_by("recompute", "--json", among=counting | never, environment=environment)
    assert set(of_few) >= {"polars", "batch.counting.count"}
    assert never.isdisjoint(of_few)
    assert loaded_by("recompute", "--json", among=counting | never, environment=environment) == []
    world.store.close()
