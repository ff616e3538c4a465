"""The publication: moved by compare-and-set, with a history that holds what readers saw and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tallymark.documents.progress import Progress
from tallymark.documents.publication import (
    NOTHING_PUBLISHED,
    Publication,
    current,
    history,
    publish,
    publish_epoch,
    version,
)
from tallymark.errors import PublicationConflict, UnknownVersion
from tallymark.store import ViewStore
from tallymark.store.sqlite import SqliteViewStore
from tests.support import laws, strategies

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def numbered(number: int, *, epoch: int = 1, after: timedelta = timedelta(0)) -> Publication:
    return Publication(
        version=number,
        exact_until=NOON + timedelta(hours=number),
        raw_version=number * 10,
        epoch=epoch,
        published_at=NOON + timedelta(hours=number) + after,
    )


class DiesBeforeTheSwap:
    """A real store whose process dies before its first compare-and-set."""

    def __init__(self, store: ViewStore) -> None:
        self._store = store
        self.read_document = store.read_document
        self.write_document = store.write_document
        self.list_documents = store.list_documents

    def swap_document(self, name: str, expected: bytes | None, body: bytes) -> bool:
        raise KeyboardInterrupt


def published(store: ViewStore, *numbers: int) -> list[Publication]:
    for number in numbers:
        publish(store, numbered(number), expected=current(store))
    return history(store)


def versions(store: ViewStore) -> list[int]:
    return [p.version for p in history(store)]


def test_a_new_store_has_published_nothing(store: SqliteViewStore) -> None:
    assert current(store) == NOTHING_PUBLISHED
    assert history(store) == []
    with pytest.raises(UnknownVersion, match="none yet"):
        version(store, 1)


def test_what_is_published_is_what_readers_see(store: SqliteViewStore) -> None:
    publish(store, numbered(1), expected=NOTHING_PUBLISHED)
    assert current(store) == numbered(1)
    assert current(store).boundary == int(NOON.timestamp()) // 60 + 60
    assert history(store) == [numbered(1)]


def test_a_stale_expectation_publishes_nothing_and_says_who_came_first(store: SqliteViewStore) -> None:
    published(store, 1, 2)
    with pytest.raises(PublicationConflict, match=r"version 3 was not published: version 2 .* version 1 .* again") as e:
        publish(store, numbered(3), expected=numbered(1))
    assert e.value.retriable
    assert current(store) == numbered(2)
    assert versions(store) == [1, 2]


def test_of_many_publishers_that_saw_the_same_exactly_one_wins(store: SqliteViewStore) -> None:
    published(store, 1)

    def attempt(number: int) -> int | None:
        try:
            publish(store, numbered(number), expected=numbered(1))
        except PublicationConflict:
            return None
        return number

    with ThreadPoolExecutor(8) as threads:
        winners = [number for number in threads.map(attempt, range(2, 18)) if number is not None]
    assert winners == [current(store).version]
    assert versions(store) == [1, *winners]


def test_a_rollback_is_a_publication_of_an_older_version(store: SqliteViewStore) -> None:
    published(store, 1, 2)
    again = replace(version(store, 1), published_at=NOON + timedelta(days=1))
    publish(store, again, expected=current(store))
    assert versions(store) == [1, 2, 1]
    assert version(store, 1).exact_until == numbered(1).exact_until
    assert version(store, 2).raw_version == 20


def test_versions_that_were_published_in_one_millisecond_keep_their_order(store: SqliteViewStore) -> None:
    for number in range(8, 12):
        publish(store, replace(numbered(number), published_at=NOON), expected=current(store))
    assert versions(store) == [8, 9, 10, 11]


def test_a_death_before_the_swap_changes_nothing_that_readers_see(store: SqliteViewStore) -> None:
    published(store, 1, 2)
    with pytest.raises(KeyboardInterrupt):
        publish(DiesBeforeTheSwap(store), numbered(3), expected=current(store))  # type: ignore[arg-type]
    assert current(store) == numbered(2)
    assert versions(store) == [1, 2]
    assert published(store, 3) == [numbered(1), numbered(2), numbered(3)]


def test_an_unknown_version_is_refused_with_the_known_ones(store: SqliteViewStore) -> None:
    published(store, 1, 2)
    with pytest.raises(
        UnknownVersion, match="version 7 was never published, or is forgotten; published versions: 1, 2"
    ):
        version(store, 7)


def test_a_new_epoch_leaves_the_batch_view_as_it_is(store: SqliteViewStore) -> None:
    published(store, 1)
    assert publish_epoch(store, 5) == numbered(1, epoch=5) == current(store)
    assert history(store) == [numbered(1, epoch=5)], "an epoch is no publication of its own"


def test_an_epoch_never_goes_back(store: SqliteViewStore) -> None:
    publish_epoch(store, 5)
    assert publish_epoch(store, 3).epoch == 5
    assert publish_epoch(store, 5).epoch == 5
    assert history(store) == [], "no version was published yet"


def test_an_older_version_is_read_with_the_epoch_of_now(store: SqliteViewStore) -> None:
    published(store, 1, 2)
    publish_epoch(store, 9)
    assert version(store, 1) == numbered(1, epoch=9)


def test_a_new_epoch_and_a_recount_that_race_lose_neither(store: SqliteViewStore) -> None:
    def recount() -> None:
        for number in range(1, 21):
            retrying(lambda at, number=number: publish(store, numbered(number, epoch=at.epoch), expected=at), store)

    def epochs() -> None:
        for epoch in range(1, 21):
            publish_epoch(store, epoch)

    racing = [threading.Thread(target=recount), threading.Thread(target=epochs), threading.Thread(target=epochs)]
    for thread in racing:
        thread.start()
    for thread in racing:
        thread.join()
    assert current(store) == numbered(20, epoch=20)
    assert versions(store) == list(range(1, 21))


def retrying(publish_over: Callable[[Publication], None], store: ViewStore) -> None:
    while True:
        try:
            return publish_over(current(store))
        except PublicationConflict:
            continue


def test_a_history_that_is_read_while_others_publish_misses_nothing(store: SqliteViewStore) -> None:
    done = threading.Event()

    def recount() -> None:
        published(store, *range(1, 61))
        done.set()

    thread = threading.Thread(target=recount)
    thread.start()
    seen = []
    while not done.is_set():
        seen.append(versions(store))
    thread.join()
    assert all(found == list(range(1, len(found) + 1)) for found in seen)
    assert versions(store) == list(range(1, 61))


STEPS = st.lists(st.sampled_from(["publish", "stale", "die", "epoch", "rollback"]), max_size=10)


@strategies.quick
@given(STEPS)
def test_after_any_steps_the_history_is_what_readers_saw(steps: list[str]) -> None:
    with TemporaryDirectory() as folder:
        store = SqliteViewStore(Path(folder) / "views.sqlite")
        seen: list[Publication] = []
        for n, step in enumerate(steps, start=1):
            before = current(store)
            new = numbered(n, epoch=before.epoch)
            if step == "epoch":
                publish_epoch(store, n)
            elif step == "die":
                with pytest.raises(KeyboardInterrupt):
                    publish(DiesBeforeTheSwap(store), new, expected=before)  # type: ignore[arg-type]
            elif step == "stale":
                with pytest.raises(PublicationConflict):
                    publish(store, new, expected=replace(before, version=before.version + 1000))
            else:
                if step == "rollback" and seen:
                    new = replace(version(store, seen[0].version), published_at=new.published_at)
                publish(store, new, expected=before)
                seen.append(new)
            assert [replace(p, epoch=0) for p in history(store)] == [replace(p, epoch=0) for p in seen]
        store.close()


@strategies.quick
@given(strategies.publications())
def test_a_publication_survives_its_stored_form(publication: Publication) -> None:
    laws.round_trip(publication, there=Publication.to_json, back=Publication.from_json)


@strategies.quick
@given(st.dictionaries(st.integers(0, 1000), st.integers(0, 2**63 - 1)), strategies.instants)
def test_progress_survives_its_stored_form(positions: dict[int, int], until: datetime) -> None:
    progress = Progress(positions=positions, included_until=until)
    laws.round_trip(progress, there=Progress.to_json, back=Progress.from_json)
