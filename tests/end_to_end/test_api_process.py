"""The API as a process: who may ask, how it ends, and what it says while its store is new or broken."""

from __future__ import annotations

import signal
import socket
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
from msgspec.structs import replace

from tallymark.documents import publication
from tallymark.store.open import open_store
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


def test_whoever_may_operate_rolls_back_over_http(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", tokens=frozenset({"s3cret"}))
    fill(settings)
    with closing(open_store(settings)) as store:
        older = publication.current(store)
        newer = replace(older, version=older.version + 1, published_at=older.published_at + timedelta(seconds=1))
        publication.publish(store, newer, expected=older)
    with api_process(settings):
        url, operate = f"{settings.api.url}/v1/rollback", {"Authorization": "Bearer s3cret"}
        asked = {"version": older.version}
        assert httpx.post(url, json=asked).status_code == 401
        assert httpx.post(url, json=asked, headers=operate).json()["version"] == older.version
        now = httpx.get(f"{settings.api.url}/v1/publication", headers=operate).json()
        assert (now["version"], now["exact_until"]) == (older.version, f"{older.exact_until:%Y-%m-%dT%H:%M:%SZ}")
        assert httpx.post(url, json={"version": "1"}, headers=operate).status_code == 422


def test_head_is_answered_as_get_and_405_names_all_that_may_be_asked(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", tokens=frozenset({"s3cret"}))
    fill(settings)
    with api_process(settings):
        api = httpx.Client(base_url=settings.api.url, headers={"Authorization": "Bearer s3cret"})
        for path in ("/", "/v1/publication", "/v1/count?video_id=ab&last=1h", "/metrics"):
            head = api.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) > 0
        assert api.put("/v1/count").headers["allow"] == "GET, HEAD"
        assert api.put("/v1/tokens").headers["allow"] == "GET, HEAD, POST, DELETE"
        assert api.head("/v1/query").headers["allow"] == "POST"


def test_who_holds_a_connection_without_asking_is_sent_away(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", head_timeout=timedelta(seconds=1))
    with api_process(settings), socket.create_connection(settings.api, timeout=10) as connection:
        connection.sendall(b"G")
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")


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
