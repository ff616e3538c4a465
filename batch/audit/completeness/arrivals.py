"""What arrived of each producer, as of the last look: the document `coverage/state`, carried on by every further look.

A look counts the rows that the log took since the one before, each exactly once. So it may be cut short anywhere, and
of two at the same time one begins again: the state moves by compare-and-set. Rows that the log took before, and that
came into raw only now (compaction, or somebody who brings back what was lost), fill holes and do nothing else; and so
do imported rows, which nobody sent just now.

What it costs does not grow with the history: a sequence without holes is one run. Producers that were not heard for
eight days are forgotten, and of very many holes the oldest are settled: what still comes for them is not seen any more.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
import polars as pl

from batch.audit.completeness.roster import DAYS, Roster
from batch.audit.completeness.sequences import NO_RUNS, holes, runs_of, union
from tallymark.buckets import Grain
from tallymark.documents.coverage import reading_state
from tallymark.instants import DAY, DAY_MS, Minute
from tallymark.raw import IMPORTED

__all__ = ["Arrivals"]

_MOST_PRODUCERS: Final = 20_000
_MOST_RUNS: Final = 2_000  # of one producer
_RUNS_OF_CHAOS: Final = 100
_HOPELESS: Final = 1_000_000
_MOST_SPANS: Final = 300
_DAYS_OF_SHARE: Final = 35
Span = tuple[int, int]  # [start, end) in epoch minutes, on the hour


class Arrivals(msgspec.Struct):
    """All rows that the log took before `until_ms`. Columns of `runs` as `sequences` describes.

    `chaotic`: producers whose numbers are no sequence, and when the log last took something of them. `settled`: events
    missing by where they would have occurred. `days`, `months`: rows and numbered rows by start, epoch minutes.
    """

    until_ms: int = 0
    runs: dict[str, list[Any]] = {}
    chaotic: dict[str, int] = {}
    settled: list[tuple[int, int, int]] = []
    days: dict[int, tuple[int, int]] = {}
    months: dict[int, tuple[int, int]] = {}
    roster: Roster = msgspec.field(default_factory=Roster)

    def to_bytes(self) -> bytes:
        return zlib.compress(msgspec.json.encode(self), 1)

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> Arrivals:
        """Raises Damaged when it is not what was written."""
        if stored is None:
            return cls()
        with reading_state():
            return msgspec.json.decode(zlib.decompress(stored), type=cls)

    @property
    def frame(self) -> pl.DataFrame:
        return pl.DataFrame(self.runs, schema=NO_RUNS.schema) if self.runs else NO_RUNS

    def take(self, portions: Iterable[pl.DataFrame], *, until_ms: int) -> None:
        """Add the rows that the log took from the old `until_ms` on up to the new one; columns as `new_rows` says."""
        runs = self.frame
        known = runs.select(producer_id=pl.col("producer").unique())
        for rows in portions:
            if rows.height:
                new = (pl.col("appended_at") >= self.until_ms) & (pl.col("log_partition") != IMPORTED)
                filling = rows.filter(~new, pl.col("seq").is_not_null()).join(known, on="producer_id", how="semi")
                found = runs_of(pl.concat([self._noted(rows.filter(new)), filling]))
                runs = self._without_chaos(union(pl.concat([runs, found])), most=_HOPELESS)
        self.until_ms = until_ms
        self.roster.forget(until_ms)
        self._fold_days()
        self._keep(self._without_chaos(runs, most=_RUNS_OF_CHAOS))

    def settle(self) -> None:
        """Forget who is gone and, of very many holes, the oldest; what they lack stays known."""
        runs = self.frame
        heard = runs.group_by("producer").agg(at=pl.col("last_in").max()).sort("at", descending=True)
        since = self.until_ms - DAYS * DAY_MS
        alive = heard.head(_MOST_PRODUCERS).filter(pl.col("at") >= since).select("producer")
        self._settle(runs.join(alive, on="producer", how="anti", maintain_order="left"))
        runs = runs.join(alive, on="producer", how="semi", maintain_order="left")
        # as if what the oldest holes lack had come: then they are no holes, and make one run with what surrounds them
        newest = pl.int_range(pl.len()).reverse().over("producer") < _MOST_RUNS // 2
        crowded = pl.len().over("producer") > _MOST_RUNS
        old = runs.filter(crowded & ~newest)
        self._settle(old)
        filled = old.group_by("producer", maintain_order=True).agg(
            pl.col("first", "first_at", "first_in").first(), pl.col("last", "last_at", "last_in").last()
        )
        self._keep(union(pl.concat([runs.filter(~crowded | newest), filled.select(runs.columns)])))
        self.chaotic = {producer: at for producer, at in self.chaotic.items() if at >= since}

    def spans(self, lacking: pl.DataFrame) -> list[tuple[int, int, int]]:
        """Events missing by where they would have occurred: in the holes `lacking`, and in settled ones."""
        return _added(self.settled, lacking)

    def share(self) -> Iterator[tuple[int, int, int, int]]:
        """(start, end, rows, numbered) in order of time."""
        for grain, buckets in ((Grain.MONTH, self.months), (Grain.DAY, self.days)):
            for start, (rows, numbered) in sorted(buckets.items()):
                yield start, grain.next(Minute(start)), rows, numbered

    def _noted(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Note rows in everything but the runs, and return those that belong to a sequence."""
        made = rows.filter(pl.col("producer_id").is_not_null())
        self.roster.add(made)
        numbered = made.filter(pl.col("seq").is_not_null())
        chaotic = numbered["producer_id"].is_in(list(self.chaotic))
        for producer, at in numbered.filter(chaotic).group_by("producer_id").agg(pl.col("appended_at").max()).rows():
            self.chaotic[producer] = max(at, self.chaotic[producer])
        sequenced = numbered.filter(~chaotic)
        for column, some in enumerate((rows, sequenced)):
            day = pl.col("occurred_at") // DAY_MS * DAY
            for start, count in some.group_by(day).len().rows():
                both = list(self.days.get(start, (0, 0)))
                both[column] += count
                self.days[start] = (both[0], both[1])
        return sequenced

    def _without_chaos(self, runs: pl.DataFrame, *, most: int) -> pl.DataFrame:
        """Leave out whoever has more than `most` runs with more missing than there is: those are no sequences."""
        seen = (pl.col("last") - pl.col("first") + 1).cast(pl.Int128).sum()
        span = (pl.col("last").max() - pl.col("first").min()).cast(pl.Int128) + 1
        found = runs.group_by("producer").agg(pl.len().alias("runs"), at=pl.col("last_in").max(), chaos=seen * 2 < span)
        chaos = found.filter(pl.col("chaos") & (pl.col("runs") > most))
        self.chaotic |= dict(chaos.select("producer", "at").rows())
        return runs.join(chaos, on="producer", how="anti", maintain_order="left")

    def _settle(self, runs: pl.DataFrame) -> None:
        if (lacking := holes(runs)).height:
            self.settled = _added(self.settled, lacking)

    def _keep(self, runs: pl.DataFrame) -> None:
        self.runs = runs.to_dict(as_series=False)

    def _fold_days(self) -> None:
        """Days become months when they are old; one that late events reopen then is counted to its month."""
        since = max(self.days, default=0) - _DAYS_OF_SHARE * DAY
        for day in [day for day in self.days if day < since]:
            month = Grain.MONTH.floor(Minute(day))
            rows, numbered = self.days.pop(day)
            known = self.months.get(month, (0, 0))
            self.months[month] = (known[0] + rows, known[1] + numbered)


def _added(known: Iterable[tuple[int, int, int]], lacking: pl.DataFrame) -> list[tuple[int, int, int]]:
    """What is missing by span, in order of time; of very many spans, the older ones in whole days or months."""
    spans: Counter[Span] = Counter()
    for start, end, missing in (*known, *lacking.select("start", "end", "missing").iter_rows()):
        spans[start, end] += missing
    for grain in (Grain.DAY, Grain.MONTH):
        if len(spans) > _MOST_SPANS:
            spans = _coarser(spans, grain)
    return [(start, end, missing) for (start, end), missing in sorted(spans.items())]


def _coarser(spans: Counter[Span], grain: Grain) -> Counter[Span]:
    ordered = sorted(spans)
    kept = set(ordered[-_MOST_SPANS // 2 :])
    found: Counter[Span] = Counter()
    for start, end in ordered:
        place = (start, end) if (start, end) in kept else (grain.floor(Minute(start)), grain.ceil(Minute(end)))
        found[place] += spans[start, end]
    return found
