"""What readers see: one small document, moved by compare-and-set (ADR 10).

Everything that makes the lambda consistent hangs on `Publication`: a reader reads it once per request, takes the
range before `exact_until` from the batch view at `version`, and the rest from the speed view at `epoch`. A recount
that is not named here does not exist for readers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from tallymark.cells import STEP_MS
from tallymark.documents import attempts
from tallymark.documents.coverage import missing_before
from tallymark.documents.document import About, Document
from tallymark.errors import PublicationConflict, UnknownVersion
from tallymark.instants import Minute, millis_of, minute_of
from tallymark.store import ViewStore

__all__ = [
    "CURRENT",
    "NOTHING_PUBLISHED",
    "Publication",
    "after",
    "current",
    "forget",
    "history",
    "oldest_in_reach",
    "publish",
    "publish_epoch",
    "published",
    "roll_back",
    "version",
]

CURRENT: Final = "publication"
_HISTORY: Final = "published/"
_FLOOR: Final = datetime(2000, 1, 1, tzinfo=UTC)
_INSTANT: Final = timedelta(milliseconds=1)


class Publication(Document, frozen=True, kw_only=True, omit_defaults=True):
    """One publication: batch cells of `version` (an attempt number) are exact before `exact_until` (on the hour).

    `raw_version` is the version of the raw table that was counted, of it the rows that the log took before
    `counted_until`, the start of a step of the log's time; None: by a Tallymark that counted all of them. `epoch` is
    the speed view that takes over. `missing`: so many events that may belong before `exact_until` were known to be lost
    when it was published; None, which is left out: nobody had looked.
    """

    ABOUT = About(
        kind=CURRENT,
        touches="what readers see by that publication. The counts themselves are not lost",
        without="remove it. If its name begins with published/, that version can be chosen no more. Otherwise run "
        "`tallymark rollback` with the newest version that `tallymark versions` still lists as published, if there is "
        "one; then recompute, and start `stream` again",
    )

    version: int
    exact_until: datetime
    raw_version: int
    epoch: int
    published_at: datetime
    missing: int | None = None
    counted_until: datetime | None = None

    @property
    def first_uncounted_step(self) -> int:
        """Of late cells: those of this step of the log's time and later ones are not in the version.

        Where nothing is known of it, a step that is certainly not too late.
        """
        return millis_of(self.counted_until or self.exact_until) // STEP_MS

    @property
    def boundary(self) -> Minute:
        """`exact_until` in epoch minutes."""
        return minute_of(self.exact_until)


NOTHING_PUBLISHED: Final = Publication(version=0, exact_until=_FLOOR, raw_version=-1, epoch=0, published_at=_FLOOR)


def current(store: ViewStore) -> Publication:
    """What readers see now; `NOTHING_PUBLISHED` in a new store."""
    return Publication.read(store, CURRENT) or NOTHING_PUBLISHED


def publish(store: ViewStore, new: Publication, *, expected: Publication) -> None:
    """Replace `expected`, which must still be current, by `new`. Raises PublicationConflict otherwise.

    What is replaced is first put on record, so that the history never lists what was not published and never misses
    what was, wherever a process dies.
    """
    stored = store.read_document(CURRENT)  # its bytes, to which a later version may have added what we do not know
    if (Publication.found(stored, CURRENT) or NOTHING_PUBLISHED) == expected:
        if stored is not None and expected.version:
            store.write_document(_history_name(expected), stored)
        if store.swap_document(CURRENT, stored, new.to_json()):
            return
    found = current(store)
    raise PublicationConflict(
        f"version {new.version} was not published: version {found.version} (epoch {found.epoch}) was published "
        f"meanwhile, where version {expected.version} (epoch {expected.epoch}) was expected; run it again"
    )


def published(store: ViewStore, new: Publication, *, expected: Publication) -> bool:
    """As `publish`, but False for a conflict."""
    try:
        publish(store, new, expected=expected)
    except PublicationConflict:
        return False
    return True


def after(at: Publication, now: datetime) -> datetime:
    """Now, but later than the publication before, also by a clock that went back: the history is sorted by it."""
    return max(now, at.published_at + _INSTANT)


def publish_epoch(store: ViewStore, epoch: int) -> Publication:
    """Let readers see speed view `epoch`; leaves the rest as it is. Never goes back to an older epoch."""
    while True:
        at = current(store)
        if at.epoch >= epoch:
            return at
        new = msgspec.structs.replace(at, epoch=epoch)
        if published(store, new, expected=at):
            return new


def history(store: ViewStore) -> list[Publication]:
    """All publications by `published_at`, the current one last; epoch changes fold into one."""
    while True:
        now = current(store)
        seen = Publication.read_all(store, _HISTORY).values()
        # two reads: what was published between them has put `now` on record but is not itself there yet
        if current(store) == now:
            past = [p for p in seen if (p.version, p.published_at) != (now.version, now.published_at)]
            return [*past, now] if now.version else past


def version(store: ViewStore, number: int) -> Publication:
    """The publication of version `number`, with the current epoch. Raises UnknownVersion, also for one of which the
    store may have let go of rows."""
    published = {p.version: p for p in history(store)}
    at = current(store)
    if number not in published:
        raise UnknownVersion(number, sorted(published))
    if number != at.version and number < oldest_in_reach(store, current=at.version):
        why = f"the store keeps rows of {store.versions_kept} attempts only"
        raise UnknownVersion(number, sorted(published), why=why)
    return msgspec.structs.replace(published[number], epoch=at.epoch)


def roll_back(store: ViewStore, number: int, *, now: Callable[[], datetime]) -> Publication:
    """Publish version `number` again. The next recompute counts on from there. Raises UnknownVersion."""
    while True:
        at = current(store)
        target = version(store, number)
        if target.version == at.version:
            return at
        missing = missing_before(store, target.exact_until)
        new = msgspec.structs.replace(target, epoch=at.epoch, published_at=after(at, now()), missing=missing)
        if published(store, new, expected=at):
            return new


def held_back(store: ViewStore) -> int | None:
    """The version in whose place readers see an older one again; None where they see the newest. Recounts that come by
    themselves leave it so."""
    past = history(store)
    newest = max((each.version for each in past), default=0)
    return newest if past and past[-1].version != newest else None


def oldest_in_reach(store: ViewStore, *, current: int) -> int:
    """The oldest version of which the store surely holds all rows: each attempt since, a crashed one too, may have
    pushed out one of a row. `current`: the version that readers see."""
    if store.versions_kept is None:
        return 0
    begun = max((record.number for record in attempts.newer_than(store, current)), default=current)
    return max(begun, current) - store.versions_kept + 1


def forget(store: ViewStore, versions: Collection[int]) -> None:
    """Take versions out of the history: they can be read and published no more.

    Raises PublicationConflict when one of them is the current version, or became it meanwhile.
    """
    seen = [(name, past.version) for name, past in Publication.read_all(store, _HISTORY).items()]
    store.remove_documents([name for name, number in seen if number in versions])
    if (at := current(store)).version in versions:
        raise PublicationConflict(
            f"version {at.version}, which was to be forgotten, was published meanwhile; try again"
        )


def _history_name(publication: Publication) -> str:
    # zero-padded, so that names sort by time: one name per publication, whatever its epoch
    published_ms = round(publication.published_at.timestamp() * 1000)
    return f"{_HISTORY}{published_ms:015d}-{publication.version:08d}"
