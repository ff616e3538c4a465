"""Tokens: named, each for some scopes, kept as salted hashes in one document of the view store (ADR 56).

What a client brings is `tly.<id>.<secret>`: the id finds the token, the secret proves it. A secret is 256 random bits,
so a quick hash keeps it: there is nothing to guess from.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from tallymark.documents.document import About, Document
from tallymark.errors import InvalidQuestion
from tallymark.store import ViewStore, change_document

__all__ = [
    "ALL_SCOPES",
    "LEAST_RATE",
    "NAME_PATTERN",
    "Given",
    "Made",
    "Rates",
    "Scope",
    "Token",
    "Tokens",
    "create",
    "forget_all",
    "parse",
    "read",
    "revoke",
    "shown",
]

_DOCUMENT: Final = "tokens"
_PREFIX: Final = "tly"
_PERSON: Final = b"tallymark-token"
NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_MOST: Final = 1000
LEAST_RATE: Final = 0.001
"""A second; with less, a pause would be longer than anybody waits."""


class Scope(StrEnum):
    SEND = "send"
    ASK = "ask"
    OPERATE = "operate"


ALL_SCOPES: Final = tuple(Scope)


class Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token may send, a second; None: no limit. `burst_s`: so many seconds' worth may come at once."""

    events_per_s: float | None = None
    bytes_per_s: float | None = None
    burst_s: float = 2.0

    @property
    def per_s(self) -> dict[str, float]:
        """What is limited, and how far."""
        rates = {"events": self.events_per_s, "bytes": self.bytes_per_s}
        return {unit: rate for unit, rate in rates.items() if rate is not None}


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`browser`: a write key, which may stand in the address of a page's requests, where anybody can read it: it sends
    events and does nothing else."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    salt: bytes
    hash: bytes
    created_at: datetime
    browser: bool = False
    rates: Rates = Rates()

    def is_proven_by(self, secret: str) -> bool:
        return hmac.compare_digest(self.hash, _hashed(secret, self.salt))


class Tokens(Document, frozen=True, kw_only=True):
    """All tokens that are in force. An empty document still keeps everybody out: only `forget_all` opens the doors."""

    ABOUT = About(
        kind=_DOCUMENT,
        touches="who may send, ask and operate: servers go by what they read before",
        without="remove it, which lets everybody in, and make new tokens at once",
    )

    tokens: tuple[Token, ...]


class Made(NamedTuple):
    """`text` is what the client brings; it is kept nowhere."""

    token: Token
    text: str


class Given(NamedTuple):
    """What a client brought."""

    id: str
    secret: str


def parse(text: str) -> Given | None:
    """None of what is no token of this kind."""
    prefix, _, rest = text.partition(".")
    given = Given(*rest.partition(".")[::2])
    return given if prefix == _PREFIX and all(given) else None


def read(store: ViewStore) -> Tokens | None:
    """None: no token was ever made, or all are forgotten, and everybody may come in."""
    return Tokens.read(store, _DOCUMENT)


def create(
    store: ViewStore,
    name: str,
    *,
    scopes: Iterable[Scope],
    now: datetime,
    browser: bool = False,
    rates: Rates | None = None,
) -> Made:
    """A new token. Raises InvalidQuestion for a name that is taken or no name, and for a write key that may do more."""
    named = set(scopes)
    chosen = tuple(scope for scope in Scope if scope in named)
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidQuestion(
            f"{name!r} is not a name; write 1 to 64 letters, digits, dots, dashes, underlines", "name"
        )
    if not chosen:
        raise InvalidQuestion("a token is for something; choose from send, ask and operate", "scopes")
    if browser and chosen != (Scope.SEND,):
        raise InvalidQuestion("a write key, which everybody can read, may send and nothing else", "scopes")
    if rates is not None and min(rates.per_s.values(), default=LEAST_RATE) < LEAST_RATE:
        raise InvalidQuestion(f"a rate is at least {LEAST_RATE} a second; revoke the token instead", "rate")
    secret = secrets.token_urlsafe(32)
    salt = secrets.token_bytes(hashlib.blake2b.SALT_SIZE)
    made = Token(
        id=secrets.token_hex(6),
        name=name,
        scopes=chosen,
        salt=salt,
        hash=_hashed(secret, salt),
        created_at=now,
        browser=browser,
        rates=rates or Rates(),
    )

    def added(stored: bytes | None) -> bytes:
        known = Tokens.found(stored, _DOCUMENT) or Tokens(tokens=())
        if any(token.name == name for token in known.tokens):
            raise InvalidQuestion(f"there is a token {name!r} already; revoke it first, or take another name", "name")
        if len(known.tokens) >= _MOST:
            raise InvalidQuestion(f"there are {_MOST} tokens already; revoke some that nobody uses", "name")
        return Tokens(tokens=(*known.tokens, made)).to_json()

    change_document(store, _DOCUMENT, added)
    return Made(made, f"{_PREFIX}.{made.id}.{secret}")


def revoke(store: ViewStore, name: str) -> Tokens:
    """The tokens that are left. Raises InvalidQuestion when there is none of that name."""
    left = Tokens(tokens=())

    def without(stored: bytes | None) -> bytes:
        nonlocal left
        known = Tokens.found(stored, _DOCUMENT) or Tokens(tokens=())
        left = Tokens(tokens=tuple(token for token in known.tokens if token.name != name))
        if len(left.tokens) == len(known.tokens):
            names = ", ".join(token.name for token in known.tokens) or "none at all"
            raise InvalidQuestion(f"there is no token {name!r}; there are {names}", "name")
        return left.to_json()

    change_document(store, _DOCUMENT, without)
    return left


def forget_all(store: ViewStore) -> None:
    """As if no token had ever been made: everybody may come in, unless the setting `tokens` names some."""
    store.remove_documents([_DOCUMENT])


def shown(token: Token) -> dict[str, Any]:
    """What may be told of a token."""
    return {
        "name": token.name,
        "scopes": [scope.value for scope in token.scopes],
        "browser": token.browser,
        "events_per_s": token.rates.events_per_s,
        "bytes_per_s": token.rates.bytes_per_s,
        "burst_s": token.rates.burst_s,
        "created_at": token.created_at,
    }


def _hashed(secret: str, salt: bytes) -> bytes:
    return hashlib.blake2b(secret.encode(), salt=salt, person=_PERSON, digest_size=32).digest()
