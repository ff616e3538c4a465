"""What must hold before a version may be read. A check that fails keeps the version from readers and says why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from batch.ledger import rows_counted
from batch.plan import Plan
from tallymark.buckets import Grain
from tallymark.documents.attempts import Check
from tallymark.documents.publication import Publication
from tallymark.instants import DAY, Minute, instant, millis_of, minute_of
from tallymark.raw import RawVersion
from tallymark.store import ViewStore

if TYPE_CHECKING:
    from batch.counting.slices import Counts

__all__ = ["check"]


def check(
    store: ViewStore, plan: Plan, counts: Sequence[Counts], *, raw: RawVersion, published: Publication, number: int
) -> list[Check]:
    """All checks of attempt `number`, in the order in which people should read them."""
    return [
        _all_counted(plan, counts),
        _conserved(counts),
        _in_their_shard(counts),
        _before_exact_until(plan, counts),
        _not_backwards(plan, published),
        _sealed_days_complete(store, plan, raw, number),
    ]


def _all_counted(plan: Plan, counts: Sequence[Counts]) -> Check:
    found: Counter[tuple[int, int]] = Counter()
    for count in counts:
        found.update({(hour, count.shard): rows for hour, rows in count.rows.items()})
    read = found.total()
    planned = {
        (hour.start, task.shard): hour.rows
        for task in plan.tasks
        for day in task.days
        for hour in day.hours
        if hour.rows
    }
    misread = [
        f"{instant(Minute(hour)):%Y-%m-%d %H:%M} in shard {shard}"
        for hour, shard in sorted(planned.keys() | found.keys())
        if planned.get((hour, shard), 0) != found[hour, shard]
    ]
    shards = {task.shard for task in plan.tasks} == {count.shard for count in counts}
    says = f"{read} raw rows were read where {plan.rows} were planned"
    wrong = f"; not as planned: {', '.join(misread[:5])}" if misread else ""
    return Check("every planned row was read", shards and not misread and read == plan.rows, says + wrong)


def _conserved(counts: Iterable[Counts]) -> Check:
    total: Counter[str] = Counter()
    for count in counts:
        rows = sum(count.rows.values())
        total.update(rows=rows - count.known, events=count.events, marked=count.marked)
        total.update(hours=count.in_hours, minutes=count.in_minutes)
    duplicates = total["rows"] - total["events"] - total["marked"]
    holds = duplicates >= 0 and total["events"] == total["hours"] == total["minutes"]
    return Check(
        "every row is counted, marked or a duplicate",
        holds,
        f"{total['rows']} rows = {total['events']} events + {total['marked']} marked + {duplicates} duplicates; "
        f"{total['hours']} in hour rows, {total['minutes']} in minute rows",
    )


def _in_their_shard(counts: Iterable[Counts]) -> Check:
    foreign = sum(count.foreign for count in counts)
    return Check("every row lies in its video's shard", not foreign, f"{foreign} events lie in another shard's files")


def _before_exact_until(plan: Plan, counts: Iterable[Counts]) -> Check:
    last = max((count.last for count in counts if count.last is not None), default=None)
    holds = last is None or last < minute_of(plan.exact_until)
    latest = "no event" if last is None else f"last event in the minute {instant(Minute(last)).isoformat()}"
    return Check("nothing at or beyond exact_until", holds, f"{latest}, exact until {plan.exact_until.isoformat()}")


def _not_backwards(plan: Plan, published: Publication) -> Check:
    says = f"from {published.exact_until.isoformat()} to {plan.exact_until.isoformat()}"
    return Check("exact_until does not go back", plan.exact_until >= published.exact_until, says)


def _sealed_days_complete(store: ViewStore, plan: Plan, raw: RawVersion, number: int) -> Check:
    """The days that this attempt touched, that are wholly sealed, share no file with others, and have no rows that came
    later than what is counted: the ledger against the table's log."""
    until, taken_before = minute_of(plan.exact_until), millis_of(plan.counted_until)
    days = {(day.start, task.shard) for task in plan.tasks for day in task.days if day.start + DAY <= until}
    days -= {
        (day, file.shard)
        for file in raw.files
        if file.appended_ms >= taken_before or file.days > 1
        for day in file.on_days
    }
    told: Counter[tuple[int, int]] = Counter()
    for file in raw.files:
        if (file.day, file.shard) in days:
            told[file.day, file.shard] += file.rows
    by_shard: dict[int, list[int]] = {}
    for day, shard in days:
        by_shard.setdefault(shard, []).append(day)
    counted = rows_counted(store, Grain.DAY, by_shard, version=number) if days else {}
    wrong = sorted(pair for pair in days if told[pair] != counted.get(pair, 0))
    says = f"{len(days)} sealed days of a shard, {sum(told.values())} rows"
    for day, shard in wrong[:5]:
        rows = f"{counted.get((day, shard), 0)} rows counted, {told[day, shard]} in the table's log"
        says += f"; {instant(Minute(day)).date()} in shard {shard}: {rows}"
    return Check("sealed days have all their rows", not wrong, says)
