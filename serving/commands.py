"""`tallymark api`, `count` and `stats`."""

from __future__ import annotations

import os

__all__ = ["api"]


def api() -> None:
    """Answer questions over HTTP until stopped. `tallymark up` runs it beside the gateway and the stream."""
    from serving.app import create_app
    from tallymark.settings import Settings
    from tallymark.web import serve
    from tallymark.wiring import open_store

    settings = Settings.load(os.environ)
    store = open_store(settings)
    try:
        serve(create_app(settings, store=store), settings.api, setting="TALLYMARK_API")
    finally:
        store.close()
