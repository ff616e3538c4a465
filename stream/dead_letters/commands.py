"""`tallymark dead-letters …`. What a command needs is imported when it runs."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from tallymark.settings import Settings

__all__ = ["export_letters", "list_letters", "replay_letters", "show_one"]

_SHOWN = 10
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def _place(text: str) -> tuple[int, int]:
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdecimal() and offset.isdecimal()):
        raise typer.BadParameter(f"{text!r} is no place of a record; write partition:offset, as `list` does: 0:1234")
    return int(partition), int(offset)


def list_letters(
    limit: Annotated[int, typer.Option(min=1, help="Show no more than the latest so many.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, the bytes in base64.")] = False,
) -> None:
    """Records of the log that are not events: their place, why, and their first bytes.

    Example: tallymark dead-letters list --json
    """
    from collections import deque

    from stream.dead_letters.replay import sent_places
    from stream.dead_letters.report import show, show_json
    from tallymark.documents.dead_letters import DeadLetter, dead_letters
    from tallymark.store.open import open_store

    with closing(open_store(Settings.load(os.environ))) as store:
        total = 0
        latest: deque[DeadLetter] = deque(maxlen=limit)
        for letter in dead_letters(store):
            total += 1
            latest.append(letter)
        (show_json if json else show)(list(latest), total, sent_places(store))


def show_one(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As in `list`.")],
) -> None:
    """All that is known of one dead letter, and all of its record: as text, or in hex where it is none.

    Example: tallymark dead-letters show 0:1234
    """
    from stream.dead_letters.replay import sent_places
    from stream.dead_letters.report import show_letter
    from tallymark.documents.dead_letters import dead_letters
    from tallymark.errors import TallymarkError
    from tallymark.store.open import open_store

    with closing(open_store(Settings.load(os.environ))) as store:
        asked = _place(place)
        letter = next((one for one in dead_letters(store) if one.place == asked), None)
        if letter is None:
            raise TallymarkError(f"no dead letter lies at {place}; `tallymark dead-letters list` has all")
        show_letter(letter, sent=asked in sent_places(store))


def export_letters(
    *, waiting: Annotated[bool, typer.Option("--waiting", help="Only those that were not replayed.")] = False
) -> None:
    """Write all dead letters to standard output, a line of JSON each, to be mended by hand and replayed.

    Example: tallymark dead-letters export --waiting > letters.ndjson
    """
    import msgspec

    from stream.dead_letters.fix import exported
    from stream.dead_letters.replay import sent_places
    from tallymark.documents.dead_letters import dead_letters
    from tallymark.store.open import open_store

    with closing(open_store(Settings.load(os.environ))) as store:
        gone = sent_places(store) if waiting else set()
        for letter in dead_letters(store):
            if letter.place not in gone:
                sys.stdout.buffer.write(msgspec.json.encode(exported(letter)) + b"\n")


def replay_letters(
    *,
    fix: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Rules (.toml), or an export with mended records (.ndjson)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    url: Annotated[
        str | None, typer.Option("--gateway", metavar="URL", help="Where to send; by default as the settings say.")
    ] = None,
    json: _Json = False,
) -> None:
    """Mend dead letters and send them to the gateway as events, each once.

    Safe to kill and to run again. Letters that are no events after the fix stay as they are.

    Example: tallymark dead-letters replay --fix mend.toml --dry-run
    """
    from stream.dead_letters.fix import read_fix, unchanged
    from stream.dead_letters.replay import replay
    from stream.dead_letters.report import show_outcome, show_outcome_json
    from stream.formats.registry import as_json_by
    from tallymark.client.courier import Courier
    from tallymark.instants import length_ms, now_ms, utc_now
    from tallymark.store.open import open_store

    settings = Settings.load(os.environ)
    mend = unchanged if fix is None else read_fix(fix)
    courier = None if dry_run else Courier(url or settings.gateway.url, token=settings.own_token)
    latest_ms = now_ms() + length_ms(settings.max_ahead)
    with closing(open_store(settings)) as store:
        as_json = as_json_by(settings.schema_registry)
        done = replay(store, courier, mend, now=utc_now, latest_ms=latest_ms, as_json=as_json, shown=_SHOWN)
    (show_outcome_json if json else show_outcome)(done, dry_run=dry_run)
