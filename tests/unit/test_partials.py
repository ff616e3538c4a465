"""What a task tallies of a partition, without Spark, against a loop over its records."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import polars as pl
import pyarrow as pa
from msgspec import structs

from stream.decoding import decode_events
from stream.log.spark_source import Portion
from stream.speed.memory import Memory
from stream.speed.partials import PARTIALS, identities, partial_tallies
from tallymark.cells import STEP_MS
from tallymark.event import Event, encode, identity
from tallymark.sketch import Sketch
from tallymark.tally import Tally

NOW = 1_769_860_800_000
LATENESS_MS = 30_000
MEMORY_MS = 600_000
Record = tuple[int, bytes]  # when the log took it, and what it holds
Key = tuple[str, str, int, int | None]


def portion(records: list[Record]) -> Portion:
    taken = [at for at, _ in records]
    values = pa.array([value for _, value in records], pa.binary())
    events = decode_events(values, pa.array(taken, pa.int64()), max_ahead_ms=300_000)
    return Portion(0, min(taken), max(taken), events)


def tallied(folder: Path, *micro_batches: list[Record], since: int = 0, size: int = 7) -> dict[Key, Tally]:
    """The sum of what the micro-batches bring, each read by a process of its own, in portions of `size` records."""
    found: dict[Key, list[Tally]] = defaultdict(list)
    for number, records in enumerate(micro_batches):
        portions = [portion(records[first : first + size]) for first in range(0, len(records), size)]
        memory = Memory(folder, MEMORY_MS)
        rows = partial_tallies(portions, memory, micro_batch=number, lateness_ms=LATENESS_MS, since=since)
        assert rows.schema == PARTIALS
        for *key, count, total, low, high, users in zip(*(column.to_pylist() for column in rows), strict=True):
            sketch = None if users is None else Sketch(users)
            found[tuple(key)].append(Tally(count, total, low, high, sketch))  # type: ignore[index]
    return {key: Tally.total(tallies) for key, tallies in found.items()}


def expected(records: list[Record | tuple[int, Event]]) -> dict[Key, Tally]:
    known: set[object] = set()
    found: dict[Key, list[Tally]] = defaultdict(list)
    clock = 0
    for at, event in records:
        clock = max(clock, at)
        if isinstance(event, Event) and identity(event) not in known:
            known.add(identity(event))
            if event.not_counted:
                continue
            late = clock - event.occurred_at > LATENESS_MS
            key = event.video_id, event.type, event.occurred_at // 60_000, clock // STEP_MS if late else None
            found[key].append(Tally.of(event))
    return {key: Tally.total(tallies) for key, tallies in found.items()}


def shown(tallies: dict[Key, Tally]) -> dict[Key, tuple[object, ...]]:
    return {key: (t.count, t.sum, t.min, t.max, t.users and t.users.estimate()) for key, t in tallies.items()}


def event(number: int, occurred_at: int = NOW, **changes: object) -> Event:
    fields = {"event_id": f"e{number}", "type": "view", "video_id": "v", "occurred_at": occurred_at}
    return Event(**(fields | changes))


def at(taken: int, *events: Event) -> list[Record]:
    return [(taken, encode(one)) for one in events]


def test_any_records_are_tallied_as_a_loop_does(tmp_path: Path) -> None:
    for seed in range(30):
        chance = random.Random(seed)
        clock = NOW
        sent: list[tuple[int, Event]] = []
        for number in range(300):
            clock += chance.choice([0, 1, 50, 3000, -2000])
            if sent and chance.random() < 0.2:
                copy = structs.replace(chance.choice(sent)[1], not_counted=chance.choice([None, "bot"]))
                sent.append((clock, copy))
                continue
            late = chance.choice([0, 0, LATENESS_MS, LATENESS_MS + 1, 10**7, -200_000])
            user = None if chance.random() < 0.2 else f"u{chance.randrange(50)}"
            fields = {"video_id": chance.choice("abc"), "type": chance.choice(["view", "like"]), "value": number - 9}
            mark = "bot" if chance.random() < 0.1 else None
            sent.append((clock, event(number, clock - late, user_id=user, not_counted=mark, **fields)))
        records = [(taken, encode(one)) for taken, one in sent]
        cuts = sorted(chance.sample(range(1, 300), 4))
        batches = [records[first:last] for first, last in zip([0, *cuts], [*cuts, 300], strict=True)]
        assert shown(tallied(tmp_path / str(seed), *batches)) == shown(expected(sent))


def test_an_event_is_late_a_millisecond_after_lateness(tmp_path: Path) -> None:
    records = at(NOW + LATENESS_MS, event(1)) + at(NOW + LATENESS_MS + 1, event(2))
    steps = {key[3]: tally.count for key, tally in tallied(tmp_path, records).items()}
    assert steps == {None: 1, (NOW + LATENESS_MS) // STEP_MS: 1}


def test_no_clock_makes_the_events_of_others_late(tmp_path: Path) -> None:
    ahead = at(NOW, event(0, NOW + 290_000))
    honest = [at(NOW + n, event(n + 1, NOW + n)) for n in range(150)]
    counted = tallied(tmp_path, ahead, *honest)
    assert sum(tally.count for (*_, step), tally in counted.items() if step is None) == 151


def test_the_minutes_before_an_epoch_are_left_to_the_one_before_but_not_what_comes_late_to_them(tmp_path: Path) -> None:
    minute = NOW // 60_000
    records = at(NOW + 10_000, event(1, NOW - 1000), event(2, NOW - 10**8), event(3, NOW))
    assert {key[2:] for key in tallied(tmp_path, records, since=minute)} == {
        ((NOW - 10**8) // 60_000, (NOW + 10_000) // STEP_MS),
        (minute, None),
    }


def test_records_that_are_no_events_leave_a_segment_all_the_same(tmp_path: Path) -> None:
    assert tallied(tmp_path, [(NOW, b"garbage")], at(NOW + 1, event(1))) == {
        ("v", "view", NOW // 60_000, None): Tally.of(event(1))
    }


def test_the_hash_of_an_event_stays_what_it_is_for_ever() -> None:
    """Segments of an earlier version are compared with the hashes of this one."""
    events = pl.DataFrame({"event_id": ["e1", "ü"], "video_id": ["v", "w"], "occurred_at": [NOW, NOW + 3_599_999]})
    assert identities(events).to_list() == [5988882657331106526, 14922704666058133866]
