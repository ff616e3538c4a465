"""What a server goes by: the tokens as they stood a second ago, and a verdict on each request."""

from __future__ import annotations

import hmac
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from tallymark.access import tokens
from tallymark.access.tokens import ALL_SCOPES, Scope, Token, Tokens
from tallymark.errors import IncompatibleStore, TallymarkError
from tallymark.settings import Settings
from tallymark.store import ViewStore
from tallymark.store.open import open_store

__all__ = ["Door", "Refused", "open_for_tokens", "watching_tokens"]

_log = logging.getLogger(__name__)
_EVERY_S: Final = 1.0
_NO_TOKENS: Final = b"null"  # in the copy: everybody may come in
# who brings a token of the setting `tokens`, which have no names
_OF_SETTINGS: Final = Token(
    id="", name="settings", scopes=ALL_SCOPES, salt=b"", hash=b"", created_at=datetime.min.replace(tzinfo=UTC)
)


class Refused(Enum):
    """Why somebody may not come in."""

    UNKNOWN = "unknown"  # no token, or none that is in force
    SCOPE = "scope"  # a token that is for something else
    CLOSED = "closed"  # to operate takes a token, and there is none yet
    NOT_READ = "not_read"  # nobody knows yet which tokens there are


class _Closes(Protocol):
    def close(self) -> None: ...


class Door:
    """`in_settings`: the tokens of the setting, which may do everything. `known`: those of the view store, None when
    there are none; replaced as a whole by `learn`, from whichever thread."""

    def __init__(self, in_settings: frozenset[str], *, known: Tokens | None = None, read: bool = True) -> None:
        self._in_settings: Final = [text.encode() for text in in_settings]
        self._by_id: dict[str, Token] | None = None
        self._read = read
        if read:
            self.learn(known)

    def learn(self, known: Tokens | None) -> None:
        """These are the tokens from now on."""
        self._by_id = {token.id: token for token in known.tokens} if known is not None else None
        self._read = True

    @property
    def trouble(self) -> str | None:
        """Why nobody who brings a token can be let in, for /readyz; None when all is well."""
        return None if self._read else "the tokens could not be read yet: the view store does not answer"

    @property
    def is_open(self) -> bool:
        """Nobody needs a token."""
        return self._read and self._by_id is None and not self._in_settings

    def admit(self, given: bytes, need: Scope) -> Token | Refused | None:
        """The token that lets `given` in, None where nobody needs one, or why not."""
        if self.is_open:
            return None if need is not Scope.OPERATE else Refused.CLOSED
        # all of them are compared, so that the time it takes tells nothing
        matches = [hmac.compare_digest(given, text) for text in self._in_settings]
        if any(matches):
            return _OF_SETTINGS
        if not self._read:
            return Refused.NOT_READ
        token = self._proven(given)
        if token is None:
            return Refused.UNKNOWN
        return token if need in token.scopes else Refused.SCOPE

    def _proven(self, given: bytes) -> Token | None:
        parsed = tokens.parse(given.decode("latin-1"))
        token = self._by_id.get(parsed.id) if parsed and self._by_id else None
        return token if token is not None and parsed and token.is_proven_by(parsed.secret) else None


@contextmanager
def watching_tokens(settings: Settings) -> Iterator[Door]:
    """A door that learns within two seconds what was made and revoked. While the view store does not answer, the door
    goes by what it knew, and a new one by the copy that is kept in `home`."""
    door = Door(settings.tokens, read=False)
    copy = settings.home / "run" / "tokens.json"
    watch = _Watch(door, lambda: open_for_tokens(settings), copy)
    watch.look()
    if door.trouble:
        watch.take_copy()
    thread = threading.Thread(target=watch.keep_looking, name="tokens", daemon=True)
    thread.start()
    try:
        yield door
    finally:
        watch.stop.set()
        thread.join(_EVERY_S)


def open_for_tokens(settings: Settings) -> ViewStore:
    """The view store, also one of an older layout: documents are the same in all of them."""
    try:
        return open_store(settings)
    except IncompatibleStore:
        return open_store(settings, any_layout=True)


class _Watch:
    def __init__(self, door: Door, opens: Callable[[], ViewStore], copy: Path) -> None:
        self._door = door
        self._opens = opens
        self._store: ViewStore | None = None
        self._copy = copy
        self._seen: Tokens | None = None
        self._trouble = ""
        self.stop = threading.Event()

    def keep_looking(self) -> None:
        while not self.stop.wait(_EVERY_S):
            self.look()
        if self._store is not None:
            self._store.close()

    def look(self) -> None:
        try:
            self._store = self._store or self._opens()
            found = tokens.read(self._store)
        except TallymarkError as error:
            if self._trouble != str(error):
                self._trouble = str(error)
                _log.warning("tokens cannot be read, those known before stay in force: %s", error)
            return
        self._trouble = ""
        if found != self._seen or self._door.trouble:
            self._seen = found
            self._door.learn(found)
            self._keep_copy(found)

    def take_copy(self) -> None:
        with suppress(OSError, TallymarkError):
            kept = self._copy.read_bytes()
            self._seen = None if kept == _NO_TOKENS else Tokens.from_json(kept)
            self._door.learn(self._seen)

    def _keep_copy(self, found: Tokens | None) -> None:
        """Hashes, not tokens. Several gateways of one home write the same."""
        with suppress(OSError):
            self._copy.parent.mkdir(parents=True, exist_ok=True)
            scratch = self._copy.with_name(f"{self._copy.name}.{os.getpid()}")
            scratch.touch(mode=0o600)
            scratch.write_bytes(_NO_TOKENS if found is None else found.to_json())
            scratch.replace(self._copy)
