"""Did everything arrive? What producers numbered and is not in raw, and producers that should be heard and are not.

    new_rows     the rows that the log took since the last look
      │
    sequences    which numbers of each producer arrived, as runs: between two runs is a hole
    roster       what is expected of each producer at this time of the day
      │
    arrivals     both, carried on from look to look
      │
    `check_arrivals`       lets answers know (`coverage/current`), and says what the last audit did not know

A hole counts when it has stood for the lateness: until then what it lacks may be on its way. One that late events fill
is gone at the next look (ADR 42).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.audit.completeness.arrivals import Arrivals
from batch.audit.completeness.new_rows import new_rows
from batch.audit.completeness.roster import DAYS, Silent, name_of
from batch.audit.completeness.sequences import holes
from tallymark.documents.audit_record import Completeness, Gap, Unheard
from tallymark.documents.coverage import Hole, Known, Share, Silence, read_state, renew_known, swap_state
from tallymark.documents.progress import ARCHIVE, read_progress
from tallymark.errors import NothingToRecount
from tallymark.instants import DAY_MS, MINUTE_MS, Millis, instant_of, length_ms, millis_of
from tallymark.raw import RawFile, RawTable
from tallymark.store import ViewStore

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Findings", "check_arrivals"]

_SHOWN: Final = 20


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What is known after a look. `lacking`: the holes that have stood for the lateness, as `sequences.holes` says."""

    arrivals: Arrivals
    lacking: pl.DataFrame
    silent: list[Silent]
    settled_ms: int
    """The log's clock, less the lateness: holes that are older count."""

    @property
    def known(self) -> Known:
        """For answers."""
        return Known(
            checked_until=instant_of(Millis(self.settled_ms)),
            holes=[Hole(*span) for span in self.arrivals.spans(self.lacking)],
            silent=[Silence(one.producer, one.occurred_ms // MINUTE_MS) for one in self.silent],
            share=[Share(*part) for part in self.arrivals.share()],
        )

    def since(self, ms: int) -> Completeness:
        """For an audit. New is what was no hole yet when the log's clock, less the lateness, was `ms`."""
        new = self.lacking.filter(pl.col("since") > ms)
        shown = self.lacking.sort("since", "missing", descending=True).head(_SHOWN)
        rows = numbered = 0
        for _, _, rows_then, numbered_then in self.arrivals.share():
            rows, numbered = rows + rows_then, numbered + numbered_then
        return Completeness(
            checked_until=instant_of(Millis(self.settled_ms)),
            rows=rows,
            numbered=numbered,
            producers=self.arrivals.frame["producer"].n_unique(),
            expected=len(self.arrivals.roster.expected()),
            missing=sum(missing for _, _, missing in self.arrivals.spans(self.lacking)),
            found=sum(new["missing"].to_list()),
            gaps=[
                Gap(producer, first, last, start, end, since > ms)
                for producer, first, last, _, start, end, since in shown.iter_rows()
            ],
            silent=[Unheard(one.producer, instant_of(Millis(one.heard_ms)), one.expected) for one in self.silent],
            chaotic=sorted(self.arrivals.chaotic),
        )

    def lacks_since(self, ms: int) -> bool:
        """Whether an audit has to tell of something even when no hour was sealed."""
        return bool(self.silent) or not self.lacking.filter(pl.col("since") > ms).is_empty()

    def table(self, ms: int) -> pd.DataFrame:
        """A row for each producer: what the suite `completeness` holds its expectations against."""
        import pandas as pd

        new = self.lacking.filter(pl.col("since") > ms).with_columns(name_of("producer"))
        missing: Counter[str] = Counter()
        for name, count in new.select("producer", "missing").iter_rows():
            missing[name] += count
        silent = {one.producer for one in self.silent}
        chaotic = {producer.partition("/")[0] or producer for producer in self.arrivals.chaotic}
        names = {*self.arrivals.roster.members, *missing, *silent, *chaotic}
        rows = [
            {"producer": name, "missing": missing[name], "silent": int(name in silent), "chaotic": int(name in chaotic)}
            for name in sorted(names)
        ]
        return pd.DataFrame(rows, columns=["producer", "missing", "silent", "chaotic"])


def check_arrivals(store: ViewStore, table: RawTable, *, lateness: timedelta) -> Findings | None:
    """Look through what the log took since the last look; None while the archive has not told how far it has come.

    May be called at any time, by several at once. Raises StoreUnavailable, RawRefused or RawUnavailable.
    """
    while True:
        progress = read_progress(store, ARCHIVE)
        if progress is None:
            return None
        stored = read_state(store)
        arrivals = Arrivals.from_bytes(stored)
        if (until_ms := millis_of(progress.included_until)) > arrivals.until_ms:
            files = _files(table)  # pinned after the progress was read: what that promises is in them
            since_ms = arrivals.until_ms - DAYS * DAY_MS  # older rows may have come into raw only now
            portions = new_rows(files, written_ms=arrivals.until_ms, since_ms=since_ms, until_ms=until_ms)
            arrivals.take(portions, until_ms=until_ms)
        arrivals.settle()
        if swap_state(store, stored, arrivals.to_bytes()):
            found = _judged(arrivals, lateness)
            renew_known(store, found.known)
            return found


def _files(table: RawTable) -> tuple[RawFile, ...]:
    try:
        return table.pin().files
    except NothingToRecount:
        return ()


def _judged(arrivals: Arrivals, lateness: timedelta) -> Findings:
    settled_ms = arrivals.until_ms - length_ms(lateness)
    return Findings(
        arrivals=arrivals,
        lacking=holes(arrivals.frame).filter(pl.col("since") <= settled_ms),
        silent=arrivals.roster.silent(settled_ms),
        settled_ms=settled_ms,
    )
