"""What pages and mail may do with the gateway, over real HTTP: origins, the script, the pixel, bots."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from uuid import uuid4

import pytest

from stream.gateway.script import SCRIPT
from tallymark.errors import SettingsError
from tallymark.event import Event, encode
from tallymark.settings import Settings
from tests.support.gateways import Answer, ask, gateway_process, is_problem, logged, metric, now_ms, views
from tests.support.systems import settings_in, tallymark

PAGE = "https://pages.example"
OTHER = "https://elsewhere.example"
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
CRAWLER = {"User-Agent": "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("gateway") / "home"
    settings = settings_in(home, origins=frozenset({PAGE}), bots=frozenset({"known"}))
    with gateway_process(settings):
        yield settings


@pytest.fixture
def video() -> str:
    return f"video-{uuid4()}"


def kept(settings: Settings, video: str) -> list[Event]:
    return [event for event in logged(settings) if event.video_id == video]


def post_of(settings: Settings, video: str, **headers: str) -> Answer:
    """What a page posts, without asking first."""
    headers = {"Content-Type": "text/plain;charset=UTF-8", **BROWSER, **headers}
    return ask(settings, "POST", "/v1/events", encode(views(video, 1)[0]), headers=headers)


def preflight(settings: Settings, origin: str, *, header: str = "content-type") -> Answer:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": header}
    return ask(settings, "OPTIONS", "/v1/events", headers=asked)


def test_a_page_of_a_named_origin_may_send_and_read_the_answer(shared: Settings, video: str) -> None:
    answer = post_of(shared, video, Origin=PAGE)
    assert answer.status == 202
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers
    assert len(kept(shared, video)) == 1


@pytest.mark.parametrize("header", ["authorization", "content-type, content-encoding", "x-sent-at"])
def test_a_preflight_of_a_named_origin_may_bring_what_senders_bring(shared: Settings, header: str) -> None:
    answer = preflight(shared, PAGE, header=header)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize("origin", [OTHER, "null", f"{PAGE}:8443", f"{PAGE}.evil.example", "http://pages.example"])
def test_a_page_of_another_origin_is_refused_and_nothing_of_it_is_taken(
    shared: Settings, video: str, origin: str
) -> None:
    for answer in (post_of(shared, video, Origin=origin), preflight(shared, origin)):
        assert "the setting `origins`" in is_problem(answer, 403)["detail"]
        assert "access-control-allow-origin" not in answer.headers
    assert kept(shared, video) == []


def test_the_gateways_own_pages_and_who_is_no_page_need_no_leave(shared: Settings, video: str) -> None:
    assert post_of(shared, video, Origin=shared.gateway.url).status == 202
    assert post_of(shared, video).status == 202


def test_the_script_is_small_and_is_loaded_once(shared: Settings) -> None:
    answer = ask(shared, "GET", "/tallymark.js", headers={"Origin": OTHER})
    assert (answer.status, answer.text) == (200, SCRIPT)
    assert len(answer.text) <= 2048
    assert len(gzip.compress(answer.text)) <= 1100
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "max-age" in answer.headers["cache-control"]
    tag = answer.headers["etag"]
    for known in (tag, f'"other", W/{tag}'):
        again = ask(shared, "GET", "/tallymark.js", headers={"If-None-Match": known})
        assert (again.status, again.text, again.headers["etag"]) == (304, b"", tag)
    assert ask(shared, "GET", "/tallymark.js", headers={"If-None-Match": '"other"'}).status == 200


def pixel(settings: Settings, query: str, method: str = "GET", **headers: str) -> Answer:
    answer = ask(settings, method, f"/v1/pixel.gif?{query}", headers={**BROWSER, **headers})
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-store"
    assert method == "HEAD" or (answer.text[:6], len(answer.text)) == (b"GIF89a", 43)
    return answer


def test_a_pixel_is_an_event(shared: Settings, video: str) -> None:
    before = now_ms()
    assert pixel(shared, f"video_id={video}").status == 200
    at = before - 5_000
    query = f"video_id={video}&type=opened&event_id=m-1&occurred_at={at}&user_id=ann%20b&value=-3&utm=x"
    assert [pixel(shared, query).status for _ in range(2)] == [200, 200]
    first, *mails = kept(shared, video)
    assert (first.type, first.value) == ("view", 1)
    assert before <= first.occurred_at <= now_ms()
    told = Event(event_id="m-1", type="opened", video_id=video, occurred_at=at, user_id="ann b", value=-3)
    assert mails == [told, told]


def test_each_load_of_a_pixel_without_an_id_is_an_event_of_its_own(shared: Settings, video: str) -> None:
    for _ in range(3):
        pixel(shared, f"video_id={video}")
    assert len({event.event_id for event in kept(shared, video)}) == 3


@pytest.mark.parametrize("query", ["", "video_id=v&type=View", "video_id=v&value=much", "video_id=v&occurred_at=soon"])
def test_a_pixel_that_is_no_event_says_so_and_is_an_image_all_the_same(shared: Settings, query: str) -> None:
    answer = pixel(shared, query)
    assert answer.status == 422
    assert "none of 1 events was accepted" in answer.headers["x-refused"]


def test_a_look_at_the_head_of_a_pixel_counts_nothing(shared: Settings, video: str) -> None:
    assert pixel(shared, f"video_id={video}", "HEAD").status == 200
    assert kept(shared, video) == []


def test_what_bots_send_is_kept_and_marked(shared: Settings, video: str) -> None:
    before = metric(shared, "tallymark_events_of_bots_total")
    assert post_of(shared, video, **CRAWLER).status == 202
    assert pixel(shared, f"video_id={video}", **CRAWLER).status == 200
    assert post_of(shared, video).status == 202
    assert [event.not_counted for event in kept(shared, video)] == ["bot", "bot", None]
    assert metric(shared, "tallymark_events_of_bots_total") == before + 2


def test_a_write_key_in_the_address_opens_posts_and_pixels(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = settings_in(tmp_path_factory.mktemp("keys") / "home", origins=frozenset({"*"}))
    made = tallymark(settings, "tokens", "create", "pages", "--browser")
    key = made.stdout.split()[0]
    assert key.startswith("tly."), made.stdout + made.stderr
    with gateway_process(settings):
        record = encode(views("v", 1)[0])
        for origin in (PAGE, OTHER):
            answer = ask(settings, "POST", f"/v1/events?key={key}", record, headers={"Origin": origin, **BROWSER})
            assert answer.status == 202, answer.text
            assert answer.headers["access-control-allow-origin"] == "*"
        assert preflight(settings, PAGE, header="authorization").status == 200
        assert pixel(settings, f"key={key}&video_id=v").status == 200
        refused = pixel(settings, "key=tly.a.b&video_id=v")
        assert (refused.status, "token" in refused.headers["x-refused"]) == (401, True)
        without = ask(settings, "POST", "/v1/events", record, headers={"Origin": PAGE})
        assert without.status == 401
        assert json.loads(without.text)["status"] == 401
        assert without.headers["access-control-allow-origin"] == "*"  # so that a page can read why
        assert ask(settings, "GET", "/tallymark.js").status == 200
        assert {event.producer_id for event in logged(settings)} == {"pages"}


@pytest.mark.parametrize("wrong", ["https://example.org/", "example.org", "https://*.example.org", "https://a b"])
def test_an_origin_that_is_none_is_refused_at_the_door(wrong: str) -> None:
    with pytest.raises(SettingsError, match="is no origin"):
        Settings.load({"TALLYMARK_ORIGINS": wrong})
