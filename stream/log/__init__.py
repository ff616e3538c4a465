"""The port to the event log: ordered, partitioned, durable; read by the archive and the speed layer.

Two implementations, one contract suite (tests/contract/test_event_log.py): SQLite in `sqlite`, Kafka in `kafka`. How
Spark reads either of them is in `spark_source`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from tallymark.instants import Millis
from tallymark.settings import Settings

__all__ = ["AppendsOnLoop", "EventLog", "Forgets", "Horizon", "Positions", "Record", "open_log"]

Positions = Mapping[int, int]  # partition → next offset


class Record(NamedTuple):
    """One record as the log keeps it. `appended_at` in epoch ms, by the log's clock, never decreasing."""

    partition: int
    offset: int
    appended_at: Millis
    value: bytes


class Horizon(NamedTuple):
    """A proof about the log: every record that was appended before `at` lies before `positions`."""

    positions: dict[int, int]
    at: datetime


class EventLog(Protocol):
    """All methods raise LogUnavailable when the log does not answer. Instances may be shared by threads."""

    def append(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Append (key, value) records, all or none durable when it returns; a key has one partition (ADR 13).

        When it raises, the caller does not know: it may send again, since counting removes duplicates.
        """
        ...

    def horizon(self) -> Horizon:
        """Where the log ends now, with the instant that this proves."""
        ...

    def end(self) -> dict[int, int]:
        """Where the log ends now: a cheap look, without the proof of a horizon."""
        ...

    def positions_at(self, instant: datetime) -> dict[int, int]:
        """By partition, the first offset that was appended at or after `instant`."""
        ...

    def trimmed(self) -> dict[int, Millis]:
        """The partitions whose first records are no longer there, with when the oldest that is left was appended.

        Of a partition that has none left, the time now.
        """
        ...

    def read(self, start: Positions, end: Positions) -> Iterator[Record]:
        """The records from `start` (inclusive) to `end` (exclusive), ordered within each partition.

        A partition of `end` that `start` does not name is read from its beginning. What is no longer there is left out.
        """
        ...

    def close(self) -> None: ...


@runtime_checkable
class AppendsOnLoop(Protocol):
    """A log whose client has threads of its own, so that whoever runs an event loop needs none to append."""

    async def append_on_loop(self, records: Sequence[tuple[str, bytes]]) -> None:
        """As `EventLog.append`, without blocking the loop."""
        ...


@runtime_checkable
class Forgets(Protocol):
    """A log that keeps its records until it is told what nobody needs. Others have a retention of their own."""

    def forget(self, before: Positions) -> int:
        """Remove the records before these positions and give their room back; returns how many they were.

        Cut short, it may be called again.
        """
        ...


def open_log(settings: Settings) -> EventLog:
    """The log that `settings.log` names: a file is made when it does not exist, topics are not.

    Raises LogUnavailable, and IncompatibleStore for topics that are missing or unfit.
    """
    if settings.log_is_kafka:
        from stream.log.kafka.log import open_kafka_log

        return open_kafka_log(settings)
    from stream.log.sqlite.log import SqliteLog

    return SqliteLog(log_path(settings))


def log_path(settings: Settings) -> Path:
    """The file of the embedded log."""
    path = settings.log.removeprefix("sqlite:")
    return Path(path).expanduser() if path else settings.home / "log.sqlite"
