"""`tallymark audit`. What it needs is imported when it runs."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated

import typer

from tallymark.settings import Settings

__all__ = ["audit"]


def audit(
    *,
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help="From the hour that holds it.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Up to the hour that ends at or after it.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare what the speed view said of the sealed hours with the recount, see if all arrived, and leave a report.

    Without a range: what was sealed, or reopened by late events, since the last audit. Safe to run at any time and
    again. Ends with 1 when something has no explanation, or numbered events are newly missing; what is explained but
    beyond the budget only warns, and so does a silent producer.

    Example: tallymark audit --from 2026-01-30 --until 2026-01-31T12:00:00Z
    """
    from batch.audit.run import audit as run
    from batch.audit.show import show_audit, show_audit_json
    from tallymark.store.open import open_store

    settings = Settings.load(os.environ)
    asked = {"start": _instant(start, "--from"), "until": _instant(until, "--until")}
    store = open_store(settings)
    try:
        record = run(store, settings, now=lambda: datetime.now(UTC), **asked)
    finally:
        store.close()
    (show_audit_json if json else show_audit)(record)
    if record.verdict == "failed":
        raise typer.Exit(1)


def _instant(text: str | None, option: str) -> datetime | None:
    """RFC 3339; a date or a time without a zone is taken for UTC."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time; write for example 2026-01-31T12:00:00Z", param_hint=option
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
