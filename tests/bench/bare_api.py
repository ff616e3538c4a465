"""The least that FastAPI can do: a plain function that takes the same parameters and returns ready bytes."""

from __future__ import annotations

import os

from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry

from tallymark.http.server import serve
from tallymark.settings import Settings

app = FastAPI()


@app.get("/v1/count")
def count(video_id: str, start: str, end: str) -> Response:
    return Response(b'{"value": 1}', media_type="application/json")


@app.get("/healthz")
def health() -> Response:
    return Response(b"{}")


if __name__ == "__main__":
    settings = Settings.load(os.environ)
    app.state.registry = CollectorRegistry()
    serve(app, settings.api, setting="TALLYMARK_API", settings=settings)
