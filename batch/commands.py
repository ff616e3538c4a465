"""`tallymark recompute`, `versions` and `rollback`. What a command needs is imported when it runs."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Annotated

import typer

from tallymark.settings import Settings

__all__ = ["recompute", "rollback", "versions"]

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def _day(text: str) -> int:
    """A day's first epoch minute."""
    from tallymark.instants import minute_of

    try:
        return minute_of(datetime.combine(date.fromisoformat(text), time(), UTC))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write 2026-01-31") from None


def recompute(
    *,
    again: Annotated[
        list[str] | None,
        typer.Option(metavar="DAY", help="Count this day again, changed or not. May be given several times."),
    ] = None,
    spark: Annotated[
        bool | None,
        typer.Option("--spark/--no-spark", help="Count on Spark or by processes here.", show_default="by size"),
    ] = None,
    into: Annotated[
        str | None,
        typer.Option(metavar="STORE", help="Count into this new view store, while the one in use goes on answering."),
    ] = None,
    json: _Json = False,
) -> dict[str, float]:
    """Recount the hours whose raw events changed, check the result, and let readers see it.

    Safe to run at any time and again: a second one at the same time says so and ends; one that died is made good by
    the next. With nothing new it publishes nothing. Right after the first events it waits until they are archived.
    `tallymark up` recounts by itself (setting `recount_every`); this is for schedules and for hands.

    With --into, a store of an older layout is replaced without a silent hour: everything is counted into a new one.
    Run it again shortly before you start Tallymark with TALLYMARK_STORE set to the new one.

    Example: tallymark recompute --json
    """
    from batch.keep.commits import once_committed
    from batch.keep.recount import recount
    from batch.show import progress, show_recount, show_recount_json
    from tallymark.store.open import open_store

    days = frozenset(map(_day, again or ()))
    settings = Settings.load(os.environ)
    if into is not None:
        settings = _carried_over(settings, into)
    store = open_store(settings)
    try:
        with progress(quiet=json) as watch:
            done = once_committed(
                store,
                lambda: recount(store, settings, again=days, spark=spark, watch=watch),
                say=lambda line: print(line, file=sys.stderr, flush=True),
            )
    finally:
        store.close()
    (show_recount_json if json else show_recount)(done)
    if into is not None and not json:
        print(f"To use it: `tallymark down`, set TALLYMARK_STORE={settings.store}, `tallymark up`")
    return done.figures


def _carried_over(settings: Settings, into: str) -> Settings:
    """The settings with the store `into`, which has by then what a stream must find there."""
    from batch.upgrade import carry_over
    from tallymark.notation import store_url
    from tallymark.store.open import open_store

    try:
        there = replace(settings, store=store_url(into))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if there.store == settings.store:
        raise typer.BadParameter(f"{into} is the store in use (TALLYMARK_STORE); name another one")
    with closing(open_store(settings, any_layout=True)) as old, closing(open_store(there)) as new:
        carry_over(old, new)
    return there


def versions(*, json: _Json = False) -> None:
    """What was published and when, and which versions were counted but kept from readers, with the reason.

    Example: tallymark versions
    """
    from batch.show import show_versions, show_versions_json
    from tallymark.documents import attempts, publication
    from tallymark.store.open import open_store

    store = open_store(Settings.load(os.environ))
    published = publication.history(store)
    seen = {one.version for one in published}
    kept = [record for record in attempts.newer_than(store, 0) if record.number not in seen]
    (show_versions_json if json else show_versions)(published, kept)
    store.close()


def rollback(
    version: Annotated[int, typer.Argument(metavar="VERSION", help="One that `tallymark versions` lists.")],
    *,
    json: _Json = False,
) -> None:
    """Let readers see an older version again. `tallymark up` then recounts nothing until `tallymark recompute` is run.

    Example: tallymark rollback 41
    """
    from batch.show import show_publication, show_publication_json
    from tallymark.documents import publication
    from tallymark.instants import utc_now
    from tallymark.store.open import open_store

    store = open_store(Settings.load(os.environ))
    now = publication.roll_back(store, version, now=utc_now)
    (show_publication_json if json else show_publication)(now)
    if publication.held_back(store) is not None:
        typer.echo("`tallymark up` leaves it so: nothing is recounted until you run `tallymark recompute`.", err=True)
    store.close()
