"""`tallymark.js` in a real browser, on pages of another origin than the gateway's."""

from __future__ import annotations

import base64
import os
import threading
import wave
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import pytest

from tallymark.event import Event, identity
from tallymark.settings import Settings
from tests.support.chromium import Chromium, Tab, chromium_running, find_chromium
from tests.support.gateways import gateway_process, logged, metric, now_ms
from tests.support.systems import eventually, settings_in

# of the first post the answer is lost, and no other gets out
LOSE_ANSWERS: Final = (
    "const real = fetch; let posts = 0;"
    "fetch = (...all) => posts++ ? new Promise(() => 0) : real(...all).then(() => { throw 'lost' })"
)
LOSE_ALL: Final = (
    "const realFetch = fetch, realBeacon = navigator.sendBeacon.bind(navigator);"
    "fetch = (...all) => sessionStorage.lost ? Promise.reject('lost') : realFetch(...all);"
    "navigator.sendBeacon = (...all) => sessionStorage.lost ? true : realBeacon(...all);"
    "sessionStorage.lost = 1;"
    "Math.random = () => 60"  # it would try again after a minute
)
_SECONDS: Final = 10
A_DAY_AHEAD: Final = "const now = Date.now; Date.now = () => now() + 864e5"


class _Pages(BaseHTTPRequestHandler):
    """`?video=…&first=…`: a page that counts a view of that video, and runs `first` before."""

    gateway = ""

    def do_GET(self) -> None:
        asked = {name: texts[0] for name, texts in parse_qs(urlsplit(self.path).query).items()}
        media = 'data-media="audio"' if "sound" in asked else ""
        body = f"<!doctype html><title>page</title><script>{asked.get('first', '')}</script>"
        if "sound" in asked:
            body += f'<audio src="data:audio/wav;base64,{base64.b64encode(silence()).decode()}"></audio>'
        if "video" in asked:
            body += f'<script src="{self.gateway}/tallymark.js" data-video="{asked["video"]}" data-beat="0.2" {media}'
            body += ' data-user="ann" crossorigin></script>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


def silence() -> bytes:
    sound = BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 1, 8000, 0, "NONE", ""))
        file.writeframes(bytes([128]) * 8000 * _SECONDS)
    return sound.getvalue()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if find_chromium() is None:
        says = "there is no Chromium on this machine; on Debian: apt-get install chromium"
        if os.environ.get("CI", "").lower() not in {"", "0", "false", "no"}:
            pytest.fail(f"{says}, and CI is set")
        pytest.skip(says)
    with chromium_running(tmp_path_factory.mktemp("chromium")) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    """Where the pages are, `http://127.0.0.1:…`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, pages: str) -> Iterator[Settings]:
    settings = settings_in(tmp_path_factory.mktemp("gateway") / "home", origins=frozenset({pages}))
    _Pages.gateway = settings.gateway.url
    with gateway_process(settings):
        yield settings


@pytest.fixture
def video() -> str:
    return f"video-{uuid4()}"


def page(pages: str, video: str, first: str = "", **options: str) -> str:
    return f"{pages}/?{urlencode({'video': video, 'first': first, **options})}"


def sent(settings: Settings, video: str, type: str) -> list[Event]:
    """All copies."""
    return [event for event in logged(settings) if (event.video_id, event.type) == (video, type)]


def beats(settings: Settings, video: str, *, more_than: int = 0) -> list[Event]:
    """Once there are so many, each once."""

    def found() -> list[Event] | None:
        distinct = list({identity(event): event for event in sent(settings, video, "watched_time")}.values())
        return distinct if len(distinct) > more_than else None

    waited: list[Event] = eventually(found, within=20)
    return waited


def leave(browser: Chromium, pages: str) -> Tab:
    """Something else comes to the front."""
    return browser.open(f"{pages}/")


def test_a_page_counts_its_view_and_what_is_watched(
    shared: Settings, browser: Chromium, pages: str, video: str
) -> None:
    began = now_ms()
    tab = browser.open(page(pages, video))
    watched = beats(shared, video, more_than=2)
    (view,) = sent(shared, video, "view")
    assert (view.user_id, view.value, view.clock_ahead_ms) == ("ann", 1, None)
    assert began <= view.occurred_at <= now_ms()
    assert {beat.event_id for beat in watched} == {f"{view.event_id}.{n + 1}" for n in range(len(watched))}
    assert 0 < sum(beat.value for beat in watched) <= now_ms() - began
    tab.close()


def test_an_event_that_goes_by_fetch_and_by_beacon_has_one_id(
    shared: Settings, browser: Chromium, pages: str, video: str
) -> None:
    tab = browser.open(page(pages, video, LOSE_ANSWERS))
    eventually(lambda: sent(shared, video, "view"))
    other = leave(browser, pages)
    copies = eventually(lambda: len(found := sent(shared, video, "view")) > 1 and found)
    assert len({identity(event) for event in copies}) == 1
    tab.close()
    other.close()


def test_a_hidden_tab_sends_what_was_watched_and_no_more_until_it_is_seen_again(
    shared: Settings, browser: Chromium, pages: str, video: str
) -> None:
    tab = browser.open(page(pages, video))
    beats(shared, video, more_than=1)
    other = browser.open(page(pages, f"{video}-other"))
    assert tab.run("document.visibilityState") == "hidden"
    beats(shared, f"{video}-other", more_than=1)  # what the hidden tab sent last came before that
    before = len(beats(shared, video))
    beats(shared, f"{video}-other", more_than=9)
    assert len(beats(shared, video)) == before
    tab.front()
    beats(shared, video, more_than=before + 1)
    tab.close()
    other.close()


def test_a_page_that_comes_back_goes_on_with_its_view_and_sends_what_got_lost(
    shared: Settings, browser: Chromium, pages: str, video: str
) -> None:
    tab = browser.open(page(pages, video, f"kept = true; {LOSE_ALL}"))
    tab.run("kept = 'in memory'")
    tab.go(f"{pages}/?first=sessionStorage.clear()")
    assert sent(shared, video, "view") == []
    tab.back()
    assert tab.run("kept") == "in memory"  # or this would be another view
    watched = beats(shared, video, more_than=3)
    assert len({identity(event) for event in sent(shared, video, "view")}) == 1
    (view, *_) = sent(shared, video, "view")
    assert {beat.event_id.partition(".")[0] for beat in watched} == {view.event_id}
    tab.close()


def test_what_happens_offline_arrives_once_the_network_is_back(
    shared: Settings, browser: Chromium, pages: str, video: str
) -> None:
    tab = browser.open(page(pages, video))
    eventually(lambda: sent(shared, video, "view"))
    tab.offline(True)
    tab.run(f"tallymark.send('like', '{video}', 3)")
    occurred = tab.run("Date.now()")
    assert eventually(lambda: tab.run("fetch('/').then(() => false, () => true)"))
    assert sent(shared, video, "like") == []
    tab.offline(False)
    eventually(lambda: sent(shared, video, "like"), within=10)
    likes = {identity(event): event for event in sent(shared, video, "like")}
    (like,) = likes.values()
    assert like.value == 3
    assert occurred - 1000 < like.occurred_at <= occurred
    tab.close()


def test_a_page_may_count_several_views_and_events_of_its_own(
    shared: Settings, browser: Chromium, pages: str, video: str
) -> None:
    tab = browser.open(page(pages, video))
    second = tab.run(f"tallymark.view('{video}-2', 'play')")
    eventually(lambda: [event.event_id for event in sent(shared, f"{video}-2", "play")] == [second])
    assert beats(shared, f"{video}-2")[0].event_id == f"{second}.1"
    tab.close()


def test_only_what_plays_is_watched_where_there_is_a_player(
    shared: Settings, browser: Chromium, pages: str, video: str
) -> None:
    tab = browser.open(page(pages, video, sound="1"))
    eventually(lambda: sent(shared, video, "view"))
    assert sent(shared, video, "watched_time") == []
    tab.call("Runtime.evaluate", expression="document.querySelector('audio').play()", userGesture=True)
    beats(shared, video, more_than=3)
    tab.run("document.querySelector('audio').pause()")
    tab.run("new Promise(done => setTimeout(done, 1600))")  # as long as eight beats take
    played_ms = 1000 * tab.run("document.querySelector('audio').currentTime")
    watched_ms = sum(beat.value for beat in beats(shared, video))
    assert watched_ms > 500
    assert abs(watched_ms - played_ms) < 1200  # a busy machine lets the sound falter
    tab.close()


def test_a_clock_that_is_ahead_is_set_right(shared: Settings, browser: Chromium, pages: str, video: str) -> None:
    began = now_ms()
    tab = browser.open(page(pages, video, A_DAY_AHEAD))
    (view, *_) = eventually(lambda: sent(shared, video, "view"))
    assert abs((view.clock_ahead_ms or 0) - 86_400_000) < 1000
    assert began - 1000 <= view.occurred_at <= now_ms()
    tab.close()


def test_a_page_of_a_foreign_origin_counts_nothing_by_fetch_or_beacon(
    shared: Settings, browser: Chromium, pages: str, video: str
) -> None:
    def refused() -> float:
        return metric(shared, 'tallymark_http_request_seconds_count{route="none",status="403"}')

    before = refused()
    foreign = browser.open(page(pages.replace("127.0.0.1", "localhost"), video))
    eventually(lambda: refused() > before)
    before = refused()
    other = leave(browser, pages)
    eventually(lambda: refused() > before)
    assert sent(shared, video, "view") == sent(shared, video, "watched_time") == []
    foreign.close()
    other.close()
