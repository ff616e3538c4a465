"""How fresh answers are with Kafka, HBase and S3, and whether both layers keep up side by side.

`python -m tests.bench.bench_freshness [gateway|direct|embedded]`. `gateway`: FRESHNESS_RATE (20,000) events a second
over HTTP, and questions about some of them, late ones too, until an answer has them. `direct`: FRESHNESS_DIRECT_RATE
(30,000) a second straight into Kafka, and reads of the store. `embedded`: as `gateway`, over files. Each on a system of
its own, for a warm-up and then FRESHNESS_SECONDS (90); archive and speed layer run all the time, and with the load and
the servers they share the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tallymark.settings import Settings
from tests.bench.phases import deadline, number
from tests.bench.report import record
from tests.bench.servers import servers
from tests.bench.steady import steady
from tests.support.systems import settings_in

MODES = {
    "gateway": ("http_load", "FRESHNESS_RATE", 20_000),
    "direct": ("speed_load", "FRESHNESS_DIRECT_RATE", 30_000),
    "embedded": ("http_load", "FRESHNESS_RATE", 20_000),
}


def main(mode: str) -> dict[str, Any]:
    load, variable, rate = MODES[mode]
    warm_up, seconds = number("FRESHNESS_WARM_UP", 180), number("FRESHNESS_SECONDS", 90)
    with deadline(15 + (warm_up + seconds) / 60), system(mode) as settings:
        seal = load == "http_load"
        return steady(settings, load, rate=number(variable, rate), warm_up=warm_up, seconds=seconds, seal=seal)


@contextmanager
def system(mode: str) -> Iterator[Settings]:
    with ExitStack() as stack:
        if mode == "embedded":
            home = Path(stack.enter_context(TemporaryDirectory()))
            yield settings_in(home, archive_trigger=timedelta(seconds=30))
        else:
            (settings,) = stack.enter_context(stack.enter_context(servers()).systems())
            yield settings


if __name__ == "__main__":
    for mode in sys.argv[1:] or MODES:
        record(f"freshness_{mode}", main(mode))
