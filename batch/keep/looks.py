"""Whether a recount is worth while: a few small documents say so, where it would have to load what counts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from batch.plan import QUIET
from tallymark.documents import publication
from tallymark.documents.imports import known_imports
from tallymark.documents.progress import ARCHIVE, Progress, read_progress
from tallymark.documents.publication import Publication
from tallymark.errors import NothingToRecount
from tallymark.store import ViewStore

__all__ = ["Looks", "Recounted"]

# records that the archive has positions of were appended before its proof has come so much further
_SETTLED: Final = timedelta(seconds=30)
_log = logging.getLogger(__name__)


class Recounted(Protocol):
    """What a look must know of a recount."""

    @property
    def published(self) -> bool: ...
    @property
    def publication(self) -> Publication: ...


class _Seen(NamedTuple):
    """While it is the same, nothing is dirty. `hour`: up to where the log's clock alone lets hours be sealed."""

    positions: Mapping[int, int]
    version: int
    hour: datetime


class Looks:
    """Recounts when something may have changed since the last recount; returns whether it published.

    `commit` and `recount` are called with an open store, which is closed afterwards. `commit` sees to it that raw has
    what came. Raises what they raise, and NothingToRecount while nothing was ever archived.
    """

    def __init__(
        self,
        open_store: Callable[[], ViewStore],
        recount: Callable[[ViewStore], Recounted],
        *,
        commit: Callable[[ViewStore], object],
        lateness: timedelta,
    ) -> None:
        self._open_store = open_store
        self._recount = recount
        self._commit = commit
        self._lateness = lateness
        self._seen: _Seen | None = None
        self._since: datetime | None = None
        self._counted: datetime | None = None
        self._held_at: int | None = None

    def __call__(self) -> bool:
        with closing(self._open_store()) as store:
            self._commit(store)
            progress, at = read_progress(store, ARCHIVE), publication.current(store)
            imports = known_imports(store).imports
            if progress is None or not (any(progress.positions.values()) or imports):
                raise NothingToRecount("no event was archived yet")
            imported = not all(one.is_in(at) for one in imports)
            if not (self._may_have_changed(progress, at) or imported) or self._was_rolled_back(store, at):
                return False
            done = self._recount(store)
            self._counted = progress.included_until
        return done.published

    def _may_have_changed(self, progress: Progress, at: Publication) -> bool:
        """Also after a recount that could not count all of it yet: what came last is left to the next one. And once it
        is so quiet that hours are sealed by the log's clock."""
        hour = (progress.included_until - self._lateness).replace(minute=0, second=0, microsecond=0)
        seen = _Seen(progress.positions, at.version, hour)
        if seen != self._seen or self._since is None:
            self._seen, self._since, self._counted = seen, progress.included_until, None
        if self._counted is None or self._counted < self._since + _SETTLED:
            return True
        quiet = self._since + QUIET + _SETTLED
        return self._counted < quiet <= progress.included_until

    def _was_rolled_back(self, store: ViewStore, at: Publication) -> bool:
        """Somebody wants readers to see an older version: a recount that comes by itself must not undo that."""
        newest = publication.held_back(store)
        if newest is None:
            self._held_at = None
            return False
        if self._held_at != at.version:
            self._held_at = at.version
            _log.warning(
                "version %d was published again in the place of %d: nothing is recounted until `tallymark recompute` "
                "is run by hand",
                at.version,
                newest,
            )
        return True
