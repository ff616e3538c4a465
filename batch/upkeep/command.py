"""`tallymark maintain`. What it needs is imported when it runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from tallymark.settings import Settings

if TYPE_CHECKING:
    from batch.upkeep.maintain import Maintenance

__all__ = ["maintain"]


def maintain(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> dict[str, float]:
    """Compact raw files, and remove what no version that can still be read needs.

    Runs beside everything else, safe to repeat; `tallymark up` does it every hour. The settings `keep` and
    `keep_versions` (all), `keep_hourly_versions` and `keep_daily_versions` say what stays.

    Example: `tallymark maintain --dry-run`
    """
    import msgspec

    from batch.upkeep import maintain as upkeep
    from tallymark.cli.terminal import say
    from tallymark.store.open import open_store

    settings = Settings.load(os.environ)
    store = open_store(settings)
    try:
        done = upkeep.maintain(store, settings, dry_run=dry_run, say=(lambda _: None) if json else say)
    finally:
        store.close()
    if json:
        typer.echo(msgspec.json.encode(done))
    else:
        for line in _lines(done):
            say(line)
    return done.figures


def _lines(done: Maintenance) -> list[str]:
    kept = done.kept
    would = "would be " if done.dry_run else ""
    after = "" if done.files_after is None else f", now {done.files_after:,}"
    rows = "" if done.speed_rows is None else f"; {done.speed_rows:,} rows of older ones removed"
    batch = "" if done.batch_rows is None else f"; {done.batch_rows:,} rows of the batch view that none shows removed"
    speed = "all" if kept.speed_from is None else f"those from {kept.speed_from:%Y-%m-%d %H:%M} UTC on"
    return [
        f"  versions  {len(kept.versions)} can be read; {len(kept.forgotten)} {would}forgotten, with {done.attempts} "
        f"records of attempts{batch}",
        f"  speed     {speed} kept{rows}",
        f"  raw       {done.partitions:,} days of a shard {would}compacted: {done.files_before:,} files{after}",
        f"            {done.raw_files_deleted:,} files {would}deleted, out of the table for "
        f"{done.raw_files_kept_hours:.0f} h",
        f"  seconds   {done.seconds:.1f}",
    ]
