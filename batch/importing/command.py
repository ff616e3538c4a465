"""`tallymark import`. What it needs is imported when it runs."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from tallymark.settings import Settings

__all__ = ["import_files"]

_SHOWN = 10


def import_files(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILES…", help="Parquet, CSV or NDJSON (.gz, .zst); patterns in quotes; s3://bucket/…"),
    ],
    *,
    mapping: Annotated[
        Path, typer.Option("--map", metavar="FILE", help="Which column is which field: see docs/import.md.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read it all, show ten events and what is none, and write nothing.")
    ] = False,
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Leave out rows that are no events, in place of stopping at them.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Load history straight into the raw events. The next recount counts it.

    Safe to kill and to run again: what is in is not imported twice, under whatever name the file comes.

    Example: tallymark import 'views-*.parquet' --map views.toml --dry-run
    """
    from batch.importing.load import examine, load, moment_of
    from batch.importing.mapping import read_mapping
    from batch.importing.show import progress, show, show_json
    from batch.importing.sources import find_sources
    from batch.keep.commits import commit_what_was_sent
    from tallymark.instants import utc_now
    from tallymark.raw import RawTable
    from tallymark.store.open import open_store

    settings = Settings.load(os.environ)
    told = read_mapping(mapping)
    sources = find_sources(files, format=told.format)
    with closing(open_store(settings)) as store:
        if not dry_run:
            commit_what_was_sent(store)  # of copies, the one that was taken first counts
        now = utc_now()
        moment = moment_of(store, lateness=settings.lateness, now=now)
        with progress(sources, quiet=json) as watch:
            if dry_run:
                done = examine(sources, told, moment=moment, shown=_SHOWN, watch=watch)
            else:
                done = load(
                    sources,
                    told,
                    table=RawTable(settings.raw_uri),
                    store=store,
                    moment=moment,
                    now=now,
                    skip_refused=skip_refused,
                    watch=watch,
                )
    (show_json if json else show)(done, dry_run=dry_run)
