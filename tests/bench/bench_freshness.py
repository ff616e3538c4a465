"""How fresh answers are with Kafka, HBase and S3, and whether both layers keep up side by side.

`python -m tests.bench.bench_freshness [gateway|direct]`. `gateway`: FRESHNESS_RATE (20,000) events a second over HTTP,
and questions about some of them, until an answer counts them. `direct`: FRESHNESS_DIRECT_RATE (30,000) a second
straight into Kafka, and reads of the store. Each on a system of its own, for a warm-up and then FRESHNESS_SECONDS (90);
archive and speed layer run all the time, and with the load and the servers they share the machine.
"""

from __future__ import annotations

import sys
from typing import Any

from tests.bench.phases import deadline, number
from tests.bench.report import record
from tests.bench.servers import servers
from tests.bench.steady import steady

MODES = {"gateway": ("http_load", "FRESHNESS_RATE", 20_000), "direct": ("speed_load", "FRESHNESS_DIRECT_RATE", 30_000)}


def main(mode: str) -> dict[str, Any]:
    load, variable, rate = MODES[mode]
    warm_up, seconds = number("FRESHNESS_WARM_UP", 180), number("FRESHNESS_SECONDS", 90)
    with deadline(15 + (warm_up + seconds) / 60), servers() as at, at.systems() as (settings,):
        return steady(settings, load, rate=number(variable, rate), warm_up=warm_up, seconds=seconds)


if __name__ == "__main__":
    for mode in sys.argv[1:] or MODES:
        record(f"freshness_{mode}", main(mode))
