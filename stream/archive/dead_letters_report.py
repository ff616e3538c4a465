"""How dead letters are shown: a table for people, one JSON document for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec

from tallymark.documents.dead_letters import DeadLetter

__all__ = ["show", "show_json"]

_SHOWN_BYTES = 60


def show(letters: Sequence[DeadLetter], total: int) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not letters:
        console.print("No dead letters: everything in the log is an event.")
        return
    table = Table("partition", "offset", "appended at", "field", "reason", "record", title=f"{total} dead letters")
    for letter in letters:
        start = letter.record[:_SHOWN_BYTES].decode(errors="backslashreplace")
        more = "…" if len(letter.record) > _SHOWN_BYTES else ""
        appended = f"{letter.appended:%Y-%m-%d %H:%M:%S}"
        table.add_row(
            str(letter.log_partition), str(letter.log_offset), appended, letter.field, letter.reason, start + more
        )
    console.print(table, markup=False)
    if len(letters) < total:
        console.print(f"The latest {len(letters)} of {total}; --limit shows more.")


def show_json(letters: Sequence[DeadLetter], total: int) -> None:
    sys.stdout.buffer.write(msgspec.json.encode({"total": total, "dead_letters": letters}) + b"\n")
