"""Tokens: what is kept of them, who gets in, how much they may send, and what a door knows while the store is away."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.access import tokens
from tallymark.access.door import Door, Refused, watching_tokens
from tallymark.access.limits import Limits
from tallymark.access.tokens import Rates, Scope, Token
from tallymark.errors import InvalidQuestion
from tallymark.notation import parse_rate
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tallymark.store.sqlite import SqliteViewStore
from tests.support.strategies import quick
from tests.support.systems import eventually

AT = datetime(2026, 1, 31, tzinfo=UTC)


def made(store: SqliteViewStore, name: str, *scopes: Scope, **more: object) -> str:
    return tokens.create(store, name, scopes=scopes or (Scope.SEND,), now=AT, **more).text  # type: ignore[arg-type]


def door_of(store: SqliteViewStore, *in_settings: str) -> Door:
    return Door(frozenset(in_settings), known=tokens.read(store))


def name_of(found: Token | Refused | None) -> str | Refused | None:
    return found.name if isinstance(found, Token) else found


def test_a_token_opens_what_it_was_made_for(store: SqliteViewStore) -> None:
    sends, asks = made(store, "player", Scope.SEND), made(store, "report", Scope.ASK, Scope.OPERATE)
    door = door_of(store)
    assert name_of(door.admit(sends.encode(), Scope.SEND)) == "player"
    assert door.admit(sends.encode(), Scope.ASK) is Refused.SCOPE
    assert name_of(door.admit(asks.encode(), Scope.OPERATE)) == "report"
    assert door.admit(asks.encode(), Scope.SEND) is Refused.SCOPE


def test_nothing_that_is_kept_is_the_token(store: SqliteViewStore) -> None:
    secret = made(store, "player").rpartition(".")[2]
    kept = store.read_document("tokens") or b""
    assert b"player" in kept
    assert secret.encode() not in kept
    assert made(store, "other") != made(store, "third")


@pytest.mark.parametrize(
    "bent",
    [
        lambda text: text[:-1],
        lambda text: text + "x",
        lambda text: text.rpartition(".")[0] + "." + "A" * 43,
        lambda text: text.replace("tly.", "tlx."),
        lambda text: "tly.." + text,
        lambda _: "",
        lambda _: "tly",
        lambda _: "\u00ff.\u00ff.\u00ff",
    ],
)
def test_what_is_not_the_token_opens_nothing(store: SqliteViewStore, bent: object) -> None:
    text = made(store, "player")
    assert door_of(store).admit(bent(text).encode("latin-1"), Scope.SEND) is Refused.UNKNOWN  # type: ignore[operator]


@quick
@given(st.binary(max_size=80))
def test_no_bytes_break_the_door(given: bytes) -> None:
    door = Door(frozenset({"s3cret"}), known=tokens.Tokens(tokens=()))
    assert door.admit(given, Scope.SEND) is Refused.UNKNOWN or given == b"s3cret"


def test_a_revoked_token_opens_nothing_and_the_last_one_keeps_all_out(store: SqliteViewStore) -> None:
    first, second = made(store, "first"), made(store, "second")
    assert [token.name for token in tokens.revoke(store, "first").tokens] == ["second"]
    assert door_of(store).admit(first.encode(), Scope.SEND) is Refused.UNKNOWN
    assert name_of(door_of(store).admit(second.encode(), Scope.SEND)) == "second"
    tokens.revoke(store, "second")
    assert door_of(store).admit(b"", Scope.SEND) is Refused.UNKNOWN
    tokens.forget_all(store)
    assert door_of(store).admit(b"", Scope.SEND) is None


def test_without_any_token_all_may_send_and_ask_and_nobody_operates(store: SqliteViewStore) -> None:
    door = door_of(store)
    assert door.is_open
    assert door.admit(b"", Scope.SEND) is None
    assert door.admit(b"whatever", Scope.ASK) is None
    assert door.admit(b"", Scope.OPERATE) is Refused.CLOSED


def test_the_tokens_of_the_setting_do_everything_beside_the_others(store: SqliteViewStore) -> None:
    text = made(store, "player")
    door = door_of(store, "s3cret", "other")
    assert [name_of(door.admit(b"other", scope)) for scope in Scope] == ["settings"] * 3
    assert name_of(door.admit(text.encode(), Scope.SEND)) == "player"
    assert door.admit(b"", Scope.SEND) is Refused.UNKNOWN
    assert Door(frozenset({"s3cret"})).admit(b"wrong", Scope.SEND) is Refused.UNKNOWN


@pytest.mark.parametrize(
    ("name", "scopes", "browser", "field"),
    [
        ("player", ["send"], False, "name"),  # taken
        ("", ["send"], False, "name"),
        ("a b", ["send"], False, "name"),
        ("x" * 65, ["send"], False, "name"),
        ("new", [], False, "scopes"),
        ("new", ["send", "ask"], True, "scopes"),
    ],
)
def test_a_token_that_cannot_be_made_is_refused_with_the_field(
    store: SqliteViewStore, name: str, scopes: list[str], browser: bool, field: str
) -> None:
    made(store, "player")
    with pytest.raises(InvalidQuestion) as refused:
        tokens.create(store, name, scopes=map(Scope, scopes), now=AT, browser=browser)
    assert refused.value.field == field
    assert len((tokens.read(store) or tokens.Tokens(tokens=())).tokens) == 1


def test_revoking_nobody_names_who_is_there(store: SqliteViewStore) -> None:
    made(store, "player")
    with pytest.raises(InvalidQuestion, match="there are player"):
        tokens.revoke(store, "plaier")


class Clock:
    at = 100.0

    def __call__(self) -> float:
        return self.at


def token_with(**rates: float) -> Token:
    return Token(id="1", name="t", scopes=(Scope.SEND,), salt=b"", hash=b"", created_at=AT, rates=Rates(**rates))


def test_a_token_that_sent_too_much_waits_until_it_is_paid_off() -> None:
    clock = Clock()
    limits, token = Limits(clock), token_with(events_per_s=100, burst_s=2)
    assert limits.wait_s(token) == 0
    limits.spend(token, events=700)  # 200 are free, and 500 take five seconds
    assert limits.wait_s(token) == 5
    clock.at += 4.5
    assert limits.wait_s(token) == 1
    clock.at += 0.6
    assert limits.wait_s(token) == 0
    assert limits.wait_s(None) == 0


def test_bytes_and_events_are_both_held_against_a_token() -> None:
    clock = Clock()
    limits, token = Limits(clock), token_with(events_per_s=100, bytes_per_s=1000, burst_s=1)
    assert limits.wait_s(token) == 0
    limits.spend(token, events=1, size=4000)
    assert limits.wait_s(token) == 3


@quick
@given(st.lists(st.tuples(st.floats(0.01, 3), st.integers(1, 500)), min_size=1, max_size=60))
def test_no_pattern_of_posts_gets_more_through_than_the_rate_and_one_burst(posts: list[tuple[float, int]]) -> None:
    clock = Clock()
    limits, token = Limits(clock), token_with(events_per_s=100, burst_s=2)
    began, taken, last = clock.at, 0, 0
    for pause, size in posts:
        if limits.wait_s(token) == 0:
            limits.spend(token, events=size)
            taken, last = taken + size, size
        clock.at += pause
    assert taken - last <= 200 + 100 * (clock.at - began) + 1e-6


def test_other_rates_begin_anew() -> None:
    clock = Clock()
    limits, token = Limits(clock), token_with(events_per_s=1, burst_s=1)
    limits.wait_s(token)
    limits.spend(token, events=1000)
    assert limits.wait_s(token) > 900
    assert limits.wait_s(token_with(events_per_s=1000)) == 0


@pytest.mark.parametrize(
    ("text", "per_s"), [("1000/s", 1000), ("60k/min", 1000), ("2.5MB/s", 2.5e6), ("1 G/h", 1e9 / 3600)]
)
def test_rates_are_written_as_people_do(text: str, per_s: float) -> None:
    assert parse_rate(text) == pytest.approx(per_s)


@pytest.mark.parametrize("text", ["", "1000", "0/s", "-1/s", "1000/week", "x/s"])
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="1000/s"):
        parse_rate(text)


def test_a_door_learns_of_what_is_made_and_revoked(settings: Settings) -> None:
    with closing(open_store(settings)) as store, watching_tokens(settings) as door:
        assert door.is_open
        text = tokens.create(store, "player", scopes=[Scope.SEND], now=AT).text.encode()
        eventually(lambda: name_of(door.admit(text, Scope.SEND)) == "player", within=5)
        tokens.revoke(store, "player")
        eventually(lambda: door.admit(text, Scope.SEND) is Refused.UNKNOWN, within=5)


def test_a_door_whose_store_is_away_goes_by_its_copy_and_without_one_lets_nobody_in(
    settings: Settings, tmp_path: Path
) -> None:
    away = replace(settings, store=f"sqlite:{tmp_path}")  # a folder: it cannot be opened
    with watching_tokens(away) as door:
        assert door.trouble
        assert door.admit(b"", Scope.SEND) is Refused.NOT_READ
    with watching_tokens(replace(away, tokens=frozenset({"s3cret"}))) as door:
        assert name_of(door.admit(b"s3cret", Scope.SEND)) == "settings"
    with closing(open_store(settings)) as store:
        text = tokens.create(store, "player", scopes=[Scope.SEND], now=AT).text.encode()
    with watching_tokens(settings):
        pass
    with watching_tokens(away) as door:
        assert not door.trouble
        assert name_of(door.admit(text, Scope.SEND)) == "player"
        assert door.admit(b"", Scope.SEND) is Refused.UNKNOWN
    copy = settings.home / "run" / "tokens.json"
    assert copy.stat().st_mode & 0o077 == 0
    assert text.rpartition(b".")[2] not in copy.read_bytes()


def test_a_door_that_knew_there_was_no_token_stays_open_while_the_store_is_away(
    settings: Settings, tmp_path: Path
) -> None:
    with watching_tokens(settings):
        pass
    with watching_tokens(replace(settings, store=f"sqlite:{tmp_path}")) as door:
        assert door.is_open
