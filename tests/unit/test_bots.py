"""Whose events are kept and not counted, by what they call themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from stream.gateway.bots import Bots
from stream.gateway.verdicts import Terms, admit
from tallymark.access.tokens import Scope, Token
from tallymark.errors import SettingsError
from tallymark.event import EARLIEST_MS, LATEST_MS, Event, decode
from tests.support.posts import FORMATS, written

PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def token(*, browser: bool) -> Token:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    return Token(id="1", name="t", scopes=(Scope.SEND,), salt=b"", hash=b"", created_at=made, browser=browser)


def test_without_a_list_everybody_counts() -> None:
    assert Bots(()).mark(CRAWLER, None) is None


def test_the_known_list_knows_crawlers_and_spares_people_and_our_own() -> None:
    bots = Bots({"known"})
    assert [bots.mark(agent, None) for agent in (CRAWLER, "curl/8.9.1")] == ["bot", "bot"]
    assert [bots.mark(agent, None) for agent in (PHONE, "tallymark-canary", "", None)] == [None] * 4


def test_a_write_key_is_held_against_the_list_and_a_token_of_a_server_is_not() -> None:
    bots = Bots({"known"})
    assert bots.mark(CRAWLER, token(browser=True)) == "bot"
    assert bots.mark(CRAWLER, token(browser=False)) is None


def test_a_file_holds_an_expression_a_line_and_lists_add_up(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("# ours\n\n^Monitor/\\d\nprobe|tester\n^$\n")
    bots = Bots({str(own), "known"})
    assert [bots.mark(agent, None) for agent in ("Monitor/7", "a tester", "", CRAWLER)] == ["bot"] * 4
    assert [bots.mark(agent, None) for agent in ("A Monitor/7", PHONE)] == [None, None]


def test_each_expression_means_what_it_means_by_itself(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("(foo)bar\n(a)\\1bot\n(?i)CRAWLER\n(?P<name>x)yz\n(?P<name>p)q\n")
    bots = Bots({str(own)})
    agents = ("foobar", "aabot", "a crawler", "xyz", "pq")
    assert [bots.mark(agent, None) for agent in agents] == ["bot"] * 5
    assert [bots.mark(agent, None) for agent in ("afoobot", "FOOBAR")] == [None, None]


def test_all_that_is_wrong_with_the_lists_is_said_at_once(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("fine\n(\n[\n")
    with pytest.raises(SettingsError) as refused:
        Bots({str(own), str(tmp_path / "none")})
    assert "line 2" in str(refused.value)
    assert "line 3" in str(refused.value)
    assert f"{tmp_path / 'none'} cannot be read" in str(refused.value)


@pytest.mark.parametrize("form", FORMATS)
def test_a_mark_travels_with_the_event_and_a_reason_of_the_producer_stays(form: str) -> None:
    terms = Terms(100, 1_000_000, EARLIEST_MS, LATEST_MS, 1_769_860_800_000, mark="bot")
    for given, kept in ((None, "bot"), ("test", "test")):
        event = Event(event_id="e", type="view", video_id="v", occurred_at=terms.now_ms, not_counted=given)
        post = written([event], form)
        judged = admit(post.body, post.headers, terms)
        assert [decode(record).not_counted for _, record in judged.records] == [kept]
