"""`tallymark api`, `count` and `stats`. What a command needs is imported when it runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from tallymark.settings import Settings

if TYPE_CHECKING:
    from tallymark.client import Counts

__all__ = ["api", "count", "stats"]

_Video = Annotated[str, typer.Argument(metavar="VIDEO", help="The video's id.")]
_Type = Annotated[str, typer.Option("--type", help="The type of its events.")]
_Start = Annotated[
    str | None, typer.Option(metavar="TIME", help="RFC 3339 or epoch ms: the first instant that counts.")
]
_End = Annotated[
    str | None, typer.Option(metavar="TIME", help="The first instant that no longer counts.", show_default="now")
]
_Last = Annotated[
    str | None, typer.Option(metavar="LENGTH", help="In place of --start: 90s, 24h, 7d …", show_default="24h")
]
_AsOf = Annotated[int | None, typer.Option(metavar="VERSION", help="Answer as when this version was published.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the answer as the API gives it.")]


def api() -> None:
    """Answer questions over HTTP, until SIGTERM. `tallymark up` starts it for you.

    Example: `curl 'localhost:8400/v1/count?video_id=ATL&type=view&last=24h'`
    """
    from contextlib import closing

    from serving.app import create_app
    from tallymark.access.door import watching_tokens
    from tallymark.http.server import run
    from tallymark.store.open import open_store

    run(
        lambda settings, opened: create_app(
            settings,
            store=opened.enter_context(closing(open_store(settings))),
            door=opened.enter_context(watching_tokens(settings)),
        ),
        at=lambda settings: settings.api,
        setting="TALLYMARK_API",
    )


def count(
    video: _Video,
    *,
    type: _Type = "view",
    last: _Last = None,
    start: _Start = None,
    end: _End = None,
    as_of: _AsOf = None,
    json: _Json = False,
) -> None:
    """How often something happened to a video, and how true the number is.

    Example: `tallymark count ATL --type view --last 24h`
    """
    from serving.shown import answer_lines

    with _client() as client:
        answer = client.count(video, type, start=start, end=end, last=_range(last, start), as_of=as_of)
    _print(answer, answer_lines(answer), json=json)


def stats(
    video: _Video,
    *,
    type: _Type = "view",
    last: _Last = None,
    start: _Start = None,
    end: _End = None,
    as_of: _AsOf = None,
    json: _Json = False,
) -> None:
    """Count, sum, min, max and mean of the events' values, and how many different users there were.

    Example: `tallymark stats ATL --start 2013-07-01T00:00:00Z --end 2013-08-01T00:00:00Z`
    """
    from serving.shown import stats_lines

    with _client() as client:
        answer = client.stats(video, type, start=start, end=end, last=_range(last, start), as_of=as_of)
    _print(answer, stats_lines(answer), json=json)


def _client() -> Counts:
    from tallymark.client import Counts

    # who waits at a terminal wants to know now
    return Counts.of(Settings.load(os.environ), pauses=())


def _range(last: str | None, start: str | None) -> str | None:
    return last or (None if start else "24h")


def _print(answer: object, lines: Iterable[str], *, json: bool) -> None:
    if json:
        import msgspec

        typer.echo(msgspec.json.encode(answer))
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    first, *rest = lines
    console.print(first, style="bold")
    for line in rest:
        console.print(line, style="yellow" if line.startswith("  lacks") else None)
