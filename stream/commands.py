"""The commands of the stream layer. What a command needs is imported when it runs."""

from __future__ import annotations

import os

from tallymark.settings import Settings

__all__ = ["gateway"]


def gateway() -> None:
    """Take events over HTTP into the log, until SIGTERM. `tallymark up` starts it for you.

    Example: curl localhost:8401/v1/events -H 'Content-Type: application/json'
    -d '{"event_id": "e1", "type": "view", "video_id": "ATL", "occurred_at": "2026-01-31T12:00:00Z"}'
    """
    from stream.gateway import create_app
    from stream.log import open_log
    from tallymark.web import serve

    settings = Settings.load(os.environ)
    log = open_log(settings)
    try:
        serve(create_app(settings, log=log), settings.gateway, setting="TALLYMARK_GATEWAY")
    finally:
        log.close()
