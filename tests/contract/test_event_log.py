"""What every event log promises. One more name in `LOGS` is one more implementation.

The log is shared by the tests of this file, and it is never empty, so each looks at what it appended itself.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from stream.log import EventLog, Horizon, Record, open_log
from tallymark.settings import Settings
from tests.support.clusters import RunningCluster
from tests.support.systems import eventually

LOGS = ("sqlite", "kafka")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", params=LOGS)
def log_settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    if request.param == "kafka":
        cluster: RunningCluster = request.getfixturevalue("cluster")
        return cluster.settings(home)
    return Settings(home=home)


@pytest.fixture(scope="module")
def log(log_settings: Settings) -> Iterator[EventLog]:
    opened = open_log(log_settings)
    yield opened
    opened.close()


def some(count: int) -> list[tuple[str, bytes]]:
    """Records with different keys, as different from those of other tests."""
    return [(f"key-{uuid4()}", f"value-{uuid4()}".encode()) for _ in range(count)]


def values(records: Sequence[tuple[str, bytes]]) -> list[bytes]:
    return [value for _, value in records]


def appended(log: EventLog, records: Sequence[tuple[str, bytes]]) -> list[Record]:
    """Append `records`, and read what is new."""
    before = log.horizon().positions
    log.append(records)
    return list(log.read(before, log.horizon().positions))


def by_partition(records: Sequence[Record]) -> dict[int, list[Record]]:
    partitions: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        partitions[record.partition].append(record)
    return partitions


def at(instant: datetime) -> int:
    """Epoch milliseconds."""
    return (instant - EPOCH) // timedelta(milliseconds=1)


@pytest.mark.parametrize("count", [1, 2, 999, 1000, 1001, 5432])
def test_what_is_appended_is_read_back_each_once(log: EventLog, count: int) -> None:
    records = some(count)
    assert sorted(record.value for record in appended(log, records)) == sorted(values(records))


def test_where_the_log_ends_is_seen_at_a_glance(log: EventLog) -> None:
    log.append(some(3))
    assert log.end() == log.horizon().positions


def test_bytes_of_any_kind_come_back_as_they_were(log: EventLog) -> None:
    odd = [b"", b"\0", bytes(range(256)), b"\xff\xfe", b'{"a": 1}\n', b"x" * 300_000]
    found = appended(log, [(str(n), value) for n, value in enumerate(odd)])
    assert sorted(record.value for record in found) == sorted(odd)


def test_appending_nothing_changes_nothing(log: EventLog) -> None:
    assert appended(log, []) == []


def test_what_is_appended_later_has_a_higher_offset_in_its_partition(log: EventLog) -> None:
    key = str(uuid4())
    sent = [(key, f"{n}".encode()) for n in range(300)]
    found = [*appended(log, sent[:100]), *appended(log, sent[100:150]), *appended(log, sent[150:])]
    assert [record.value for record in found] == values(sent)
    assert all(a.offset < b.offset for a, b in pairwise(found))


def test_copies_of_a_key_meet_in_one_partition(log: EventLog) -> None:
    records = some(50)
    first, again = appended(log, records), appended(log, list(reversed(records)))
    assert {r.value: r.partition for r in first} == {r.value: r.partition for r in again}


def test_appended_at_is_the_time_of_the_append_and_never_goes_back(log: EventLog) -> None:
    began = at(datetime.now(UTC))
    found = [record for _ in range(20) for record in appended(log, some(5))]
    ended = at(datetime.now(UTC))
    assert all(began <= record.appended_at <= ended for record in found)
    for partition in by_partition(found).values():
        assert all(a.appended_at <= b.appended_at for a, b in pairwise(partition))


def test_a_part_of_the_log_can_be_read(log: EventLog) -> None:
    for partition, records in by_partition(appended(log, some(100))).items():
        first, last = records[len(records) // 4], records[len(records) // 2]
        part = [record for record in records if first.offset <= record.offset < last.offset]
        assert list(log.read({partition: first.offset}, {partition: last.offset})) == part


def test_a_partition_that_the_start_does_not_name_is_read_from_its_beginning(log: EventLog) -> None:
    records = some(50)
    log.append(records)
    end = log.end()
    one = min(end)
    first = log.positions_at(EPOCH)
    found = list(log.read({one: end[one]}, end))
    assert len(found) == sum(end[partition] - first[partition] for partition in end if partition != one)


def test_from_a_position_to_itself_there_is_nothing(log: EventLog) -> None:
    end = log.horizon().positions
    assert list(log.read(end, end)) == []


def test_who_reads_holds_nobody_up(log: EventLog) -> None:
    start = log.horizon().positions
    log.append(some(100))
    reading = log.read(start, log.horizon().positions)
    next(reading)
    assert len(appended(log, some(3))) == 3
    assert len(list(reading)) == 99


def test_another_instance_sees_what_was_appended_and_appends_behind_it(log: EventLog, log_settings: Settings) -> None:
    start = log.horizon().positions
    first, second = some(10), some(10)
    log.append(first)
    other = open_log(log_settings)
    try:
        assert sorted(r.value for r in other.read(start, other.horizon().positions)) == sorted(values(first))
        other.append(second)
    finally:
        other.close()
    found = [record.value for record in log.read(start, log.horizon().positions)]
    assert sorted(found) == sorted(values(first + second))


def test_what_was_appended_is_there_when_the_log_is_opened_again(log_settings: Settings) -> None:
    records = some(10)
    once = open_log(log_settings)
    start = once.horizon().positions
    once.append(records)
    once.close()
    again = open_log(log_settings)
    try:
        assert sorted(r.value for r in again.read(start, again.horizon().positions)) == sorted(values(records))
    finally:
        again.close()


def test_threads_may_append_at_the_same_time(log: EventLog) -> None:
    start = log.horizon().positions
    groups = [some(25) for _ in range(40)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(log.append, groups))
    found = [record.value for record in log.read(start, log.horizon().positions)]
    assert sorted(found) == sorted(value for group in groups for value in values(group))


def test_a_horizon_proves_that_no_record_from_before_it_comes_behind_it(log: EventLog) -> None:
    start = log.horizon().positions
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            log.append(some(7))

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write) for _ in range(3)]
        horizons: list[Horizon] = [log.horizon() for _ in range(200)]
        stop.set()
    assert all(writer.exception() is None for writer in writers)
    found = list(log.read(start, log.horizon().positions))
    assert found
    for horizon in horizons:
        behind = [record for record in found if record.offset >= horizon.positions[record.partition]]
        assert all(record.appended_at >= at(horizon.at) for record in behind)


def test_horizons_rise(log: EventLog) -> None:
    horizons = []
    for _ in range(10):
        horizons.append(log.horizon())
        log.append(some(3))
    for a, b in pairwise(horizons):
        assert a.at <= b.at
        assert all(a.positions[partition] <= b.positions[partition] for partition in a.positions)


def test_a_horizon_moves_on_while_nothing_is_appended(log: EventLog) -> None:
    now = datetime.now(UTC)
    before = log.horizon()
    later = eventually(lambda: horizon if (horizon := log.horizon()).at > now else None, within=10)
    assert later.positions == before.positions


def test_positions_at_an_instant_are_the_first_ones_not_appended_before_it(log: EventLog) -> None:
    start = log.horizon().positions
    for _ in range(30):
        log.append(some(9))
    end = log.horizon().positions
    for partition, records in by_partition(list(log.read(start, end))).items():
        for appended_at in {record.appended_at for record in records} - {records[0].appended_at}:
            first = next(record for record in records if record.appended_at >= appended_at)
            assert log.positions_at(EPOCH + timedelta(milliseconds=appended_at))[partition] == first.offset


def test_a_log_that_has_all_that_it_took_is_not_trimmed(log: EventLog) -> None:
    log.append(some(3))
    assert log.trimmed() == {}


def test_positions_at_the_far_past_are_the_beginning_and_at_the_future_the_end(log: EventLog) -> None:
    log.append(some(3))
    end = log.horizon().positions
    assert log.positions_at(datetime.now(UTC) + timedelta(days=1)) == end
    first = log.positions_at(EPOCH)
    assert all(first[partition] <= end[partition] for partition in end)
    assert min(record.appended_at for record in log.read(first, end)) > 0
    assert list(log.read(dict.fromkeys(first, 0), first)) == []
