"""How fast and how fresh the embedded system is, with deduplication at its full size and the archive beside it.

The system runs as users run it. The load comes from a process of its own, on the same cores: SPEED_RATE events a second
(20,000) for a warm-up, in which the memory of ids fills and Java compiles what runs often, and then for SPEED_SECONDS
(60), in which the figures are taken. `bench_freshness` does the same with Kafka, HBase and S3.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.bench.phases import deadline, number
from tests.bench.report import record
from tests.bench.steady import steady
from tests.support.systems import settings_in


def main() -> dict[str, Any]:
    warm_up, seconds = number("SPEED_WARM_UP", 120), number("SPEED_SECONDS", 60)
    with deadline(10 + (warm_up + seconds) / 60), tempfile.TemporaryDirectory() as folder:
        settings = settings_in(Path(folder), archive_trigger=timedelta(seconds=30))
        return steady(settings, "speed_load", rate=number("SPEED_RATE", 20_000), warm_up=warm_up, seconds=seconds)


if __name__ == "__main__":
    record("speed", main())
