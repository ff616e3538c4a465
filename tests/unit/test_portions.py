"""What a task makes of the rows that Spark has read from Kafka, of several partitions one after the other."""

from __future__ import annotations

import pyarrow as pa

from stream.log.kafka.source import portions_of_columns
from tallymark.event import Event, encode
from tallymark.settings import Settings

_NOW = 1_774_000_000_000


def rows(*places: tuple[int, int]) -> pa.RecordBatch:
    """An event for each (partition, offset), which the log took that many ms after _NOW."""
    events = [Event(event_id=f"{place}", type="view", video_id="v", occurred_at=_NOW) for place in places]
    return pa.RecordBatch.from_pydict(
        {
            "value": pa.array([encode(event) for event in events], pa.binary()),
            "appended_at": pa.array([_NOW + offset for _, offset in places], pa.int64()),
            "partition": pa.array([partition for partition, _ in places], pa.int32()),
            "offset": pa.array([offset for _, offset in places], pa.int64()),
        }
    )


def test_each_portion_is_of_one_partition_in_the_order_of_the_log() -> None:
    batches = [rows((2, 7), (2, 9), (0, 1)), rows(), rows((0, 2), (5, 3))]
    portions = list(portions_of_columns(Settings())(batches))
    assert [(each.partition, each.first_ms - _NOW, each.newest_ms - _NOW) for each in portions] == [
        (2, 7, 9),
        (0, 1, 1),
        (0, 2, 2),
        (5, 3, 3),
    ]
    assert [each.events["event_id"].to_pylist() for each in portions] == [
        ["(2, 7)", "(2, 9)"],
        ["(0, 1)"],
        ["(0, 2)"],
        ["(5, 3)"],
    ]
