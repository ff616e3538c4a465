"""How dead letters and their replay are shown: tables for people, one JSON document for programs."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from stream.dead_letters.fix import exported
from stream.dead_letters.replay import Outcome
from tallymark.cli.terminal import printable
from tallymark.documents.dead_letters import DeadLetter, Place

__all__ = ["show", "show_json", "show_letter", "show_outcome", "show_outcome_json"]

_SHOWN_BYTES = 60


def show(letters: Sequence[DeadLetter], total: int, sent: Collection[Place]) -> None:
    console = Console()
    if not letters:
        console.print("No dead letters: everything in the log is an event.")
        return
    table = Table("place", "appended at", "field", "reason", "record", "replayed", title=f"{total} dead letters")
    for letter in letters:
        start = letter.record[:_SHOWN_BYTES].decode(errors="backslashreplace")
        more = "…" if len(letter.record) > _SHOWN_BYTES else ""
        appended = f"{letter.appended:%Y-%m-%d %H:%M:%S}"
        table.add_row(
            _place(letter.place),
            appended,
            letter.field,
            printable(letter.reason),
            printable(start) + more,
            "yes" if letter.place in sent else "",
        )
    console.print(table, markup=False)
    if len(letters) < total:
        console.print(f"The latest {len(letters)} of {total}; --limit shows more.")


def show_json(letters: Sequence[DeadLetter], total: int, sent: Collection[Place]) -> None:
    shown = [msgspec.to_builtins(letter) | {"replayed": letter.place in sent} for letter in letters]
    sys.stdout.buffer.write(msgspec.json.encode({"total": total, "dead_letters": shown}) + b"\n")


def show_letter(letter: DeadLetter, *, sent: bool) -> None:
    console = Console(soft_wrap=True, highlight=False)
    at = f"{letter.appended:%Y-%m-%d %H:%M:%S.%f}"[:-3]
    for line in (
        f"place     {_place(letter.place)}",
        f"appended  {at} UTC",
        f"reason    {letter.field + ': ' if letter.field else ''}{printable(letter.reason)}",
        f"replayed  {'yes' if sent else 'no'}",
        f"record    {len(letter.record)} bytes",
    ):
        console.print(line, markup=False)
    told = exported(letter)
    console.print(printable(told.record) if told.record is not None else letter.record.hex(" "), markup=False)


def show_outcome(done: Outcome, *, dry_run: bool) -> None:
    console = Console(soft_wrap=True, highlight=False)
    would = "would be " if dry_run else ""
    console.print(f"{done.sent:,} dead letters {would}sent to the gateway as events; {done.before:,} were sent before")
    for event in done.events:
        console.print(f"  {msgspec.json.encode(event).decode()}", markup=False)
    if done.passed:
        console.print(f"{done.passed:,} are none of this fix's business")
    for reason, count in done.refused.most_common():
        places = ", ".join(map(_place, done.places[reason]))
        console.print(f"  {count:,} are no events still: {printable(reason)} ({places})", markup=False)


def show_outcome_json(done: Outcome, *, dry_run: bool) -> None:
    told = {
        "dry_run": dry_run,
        "sent": done.sent,
        "sent_before": done.before,
        "passed": done.passed,
        "refused": [
            {"reason": reason, "letters": count, "places": list(map(_place, done.places[reason]))}
            for reason, count in done.refused.most_common()
        ],
        "events": done.events,
    }
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")


def _place(place: Place) -> str:
    return f"{place[0]}:{place[1]}"
