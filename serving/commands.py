"""`tallymark api`, `count`, `stats` and `series`. What a command needs is imported when it runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from tallymark.settings import Settings

if TYPE_CHECKING:
    from tallymark.client import Counts

__all__ = ["api", "count", "series", "stats"]

_Video = Annotated[str, typer.Argument(metavar="VIDEO", help="The video's id.")]
_Type = Annotated[str, typer.Option("--type", help="The type of its events.")]
_Start = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="RFC 3339, a date, or epoch ms: the first instant that counts.",
        show_default="when counting began",
    ),
]
_End = Annotated[
    str | None, typer.Option(metavar="TIME", help="The first instant that no longer counts.", show_default="now")
]
_Last = Annotated[str | None, typer.Option(metavar="LENGTH", help="In place of --start: 90s, 24h, 7d, 1w, 3mo, 1y …")]
_Zone = Annotated[str, typer.Option("--tz", metavar="ZONE", help="The time zone of dates, as Europe/Berlin.")]
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
    tz: _Zone = "UTC",
    as_of: _AsOf = None,
    json: _Json = False,
) -> None:
    """How often something happened to a video, and how true the number is.

    Examples: `tallymark count ATL`, of all that was ever counted, `tallymark count ATL --type view --last 24h`
    """
    from serving.shown import answer_lines

    with _client() as client:
        answer = client.count(video, type, start=start, end=end, last=last, tz=tz, as_of=as_of)
    _print(answer, answer_lines(answer), json=json)


def stats(
    video: _Video,
    *,
    type: _Type = "view",
    last: _Last = None,
    start: _Start = None,
    end: _End = None,
    tz: _Zone = "UTC",
    as_of: _AsOf = None,
    json: _Json = False,
) -> None:
    """Count, sum, min, max and mean of the events' values, and how many different users there were.

    Example: `tallymark stats ATL --start 2013-07-01 --end 2013-08-01 --tz America/New_York`
    """
    from serving.shown import stats_lines

    with _client() as client:
        answer = client.stats(video, type, start=start, end=end, last=last, tz=tz, as_of=as_of)
    _print(answer, stats_lines(answer), json=json)


def series(
    video: _Video,
    *,
    type: _Type = "view",
    grain: Annotated[str, typer.Option(help="minute, hour, day, week, month, quarter or year.")] = "hour",
    function: Annotated[str, typer.Option(help="count, sum, min, max, mean or users.")] = "count",
    last: Annotated[str | None, typer.Option(metavar="LENGTH", help="As of `count`.", show_default="24h")] = None,
    start: _Start = None,
    end: _End = None,
    tz: _Zone = "UTC",
    as_of: _AsOf = None,
    json: _Json = False,
) -> None:
    """The same bucket by bucket, in a time zone.

    Example: `tallymark series ATL --grain week --last 3mo --tz Europe/Berlin`
    """
    from serving.shown import series_lines

    within = {"start": start, "end": end, "last": last or (None if start else "24h"), "tz": tz}
    with _client() as client:
        answer = client.series(video, type, grain=grain, function=function, as_of=as_of, **within)
    _print(answer, series_lines(answer), json=json)


def _client() -> Counts:
    from tallymark.client import Counts

    # who waits at a terminal wants to know now
    return Counts.of(Settings.load(os.environ), pauses=())


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
