"""The least that FastAPI can do: a plain function that takes the same parameters and returns ready bytes."""

from __future__ import annotations

import os

from fastapi import FastAPI, Response

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
    serve(app, Settings.load(os.environ).api, setting="TALLYMARK_API")
