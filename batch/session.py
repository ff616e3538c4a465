"""The recount's own Spark session: started when the first task needs it, small, and stopped at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tallymark.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["session"]

# the JVM only hands out tasks and collects their reports; Spark does not start with less than 450 MB
_OPTIONS: Final = {"spark.driver.memory": "512m"}


@contextmanager
def session(settings: Settings) -> Iterator[Callable[[], SparkSession]]:
    """Yields what starts the session, or returns the one that it started before."""
    started: list[SparkSession] = []

    def start() -> SparkSession:
        if not started:
            from tallymark.spark.session import start_spark

            started.append(start_spark(settings, "recompute", options=_OPTIONS))
        return started[0]

    try:
        yield start
    finally:
        for running in started:
            running.stop()
