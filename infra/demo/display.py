"""What people see of the demo while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from infra.demo.results import Account, Seam
from infra.demo.truth import Subject
from tallymark.client.wire import ReplayReport

__all__ = ["Display"]

Arrivals = Callable[[ReplayReport], None]


class Display:
    """Writes to `console`: standard error when standard output is for JSON."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def heading(self, title: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{title}", align="left")

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        with self._console.status(what):
            yield

    @contextmanager
    def arrivals(self, counts: Callable[[], Mapping[Subject, int]]) -> Iterator[Arrivals]:
        """Shows `counts` while events arrive: a table that changes in place, or nothing where there is no terminal."""
        if not self._console.is_terminal:
            yield lambda at: None
            return
        with Live(console=self._console, refresh_per_second=4, transient=True) as live:
            yield lambda at: live.update(_arriving(at, counts()))

    def seam(self, rows: list[Seam], *, exact_until: datetime) -> None:
        table = _table("destination", "exact", "+ fresh", "= answer", "truth so far", "late")
        for row in rows:
            late = f"{row.late_pending:,}" if row.late_pending else "none"
            _row(table, row.video_id, row.exact_part, row.fresh_part, row.stitched, row.truth_so_far, late)
        self.say(f"Exact until {exact_until:%F %H:%M}, counted live after that; where the seam lies cannot be seen:")
        self._console.print(table)

    def comparison(self, account: Account) -> None:
        until = account.recounts[-1].exact_until
        table = _table("destination", "speed", "batch", "truth", "batch off", "stitched", "truth of all")
        for row in account.comparison:
            _row(
                table,
                row.video_id,
                row.speed,
                row.batch,
                row.truth,
                f"{row.batch - row.truth:+,}".replace("+0", "0"),
                row.stitched,
                row.truth_of_all,
            )
        self.say(f"Up to {until:%F %H:%M} (recounted), and all of it (the last hours live):")
        self._console.print(table)
        asked = sum(recount.asked for recount in account.recounts)
        wrong = sum(recount.wrong for recount in account.recounts)
        self.say(f"{asked:,} exact answers were compared with the truth from the file: {wrong or 'none'} differed.")
        self.say(
            f"The speed view was off by {account.speed_off_by:,} of {account.truth_events:,} events, in "
            f"{account.speed_wrong_subjects} of {account.subjects} counts, when their hours were sealed."
        )
        for problem in account.problems:
            self._console.print(f"[bold red]✗ {problem}", highlight=False)


def _arriving(at: ReplayReport, counts: Mapping[Subject, int]) -> Group:
    until = "…" if at.delivered_until is None else at.delivered_until[:16].replace("T", " ")
    table = _table("destination", "views so far")
    for subject, count in counts.items():
        _row(table, subject.video_id, count)
    return Group(Text(f"  {at.sent:,} events sent, {at.events_per_s:,} a second; delivered until {until}"), table)


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 1))
    for name in names:
        table.add_column(name, no_wrap=True, justify="left" if name == "destination" else "right")
    return table


def _row(table: Table, *values: object) -> None:
    table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in values))
