"""The API as a process: who may ask, how it ends, and what it says while its store is new or broken."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx

from tests.support.apis import api_process, client, fill
from tests.support.systems import settings_in, tallymark, told


def test_only_who_brings_a_token_is_answered(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", tokens=frozenset({"s3cret", "other"}))
    fill(settings)
    with api_process(settings):
        ask = f"{settings.api.url}/v1/count?video_id=ab&last=1h"
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            assert httpx.get(ask, headers=headers).status_code == 401
        assert httpx.get(ask, headers={"Authorization": "bearer s3cret"}).status_code == 200
        assert client(settings).count("ab", last="6h").value == 300
        assert told(settings, "count", "ab")["value"] == 300
        for open_path in ("/", "/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert httpx.get(settings.api.url + open_path).status_code == 200


def test_sigterm_ends_the_api_cleanly_and_a_taken_port_is_explained(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home")
    with api_process(settings) as process:
        second = tallymark(settings, "api")
        assert second.returncode == 1
        assert "Address already in use; stop what uses it, or set TALLYMARK_API" in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_a_new_store_answers_that_nothing_is_known(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home")
    with api_process(settings):
        answer = httpx.get(f"{settings.api.url}/v1/count?video_id=ab&last=1h").json()
        assert answer["value"] is None
        assert [lack["code"] for lack in answer["degraded"]] == ["nothing_published", "speed_missing"]


def test_a_store_that_fails_is_a_503_that_names_it_and_the_api_recovers_with_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home")
    fill(settings)
    file = settings.home / "views.sqlite"
    with api_process(settings):
        ask = f"{settings.api.url}/v1/count?video_id=ab&last=6h"
        assert httpx.get(ask).json()["value"] == 300
        good = file.read_bytes()
        _overwrite(file, b"no database at all".ljust(len(good), b"x"))
        broken = httpx.get(ask)
        assert broken.status_code == 503
        assert str(file) in broken.json()["detail"]
        assert broken.headers["retry-after"] == "1"
        assert httpx.get(f"{settings.api.url}/readyz").status_code == 503
        _overwrite(file, good)
        assert httpx.get(ask).json()["value"] == 300
        assert "tallymark_api_store_errors_total 1.0" in httpx.get(f"{settings.api.url}/metrics").text


def _overwrite(file: Path, content: bytes) -> None:
    """In place: a file that gets shorter would take the memory away from those who have mapped it."""
    with file.open("r+b") as stream:
        stream.write(content)
