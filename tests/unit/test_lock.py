"""Turns: one at a time, and whoever comes second waits."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tallymark.errors import Unavailable
from tallymark.store.lock import PAUSE, locking
from tallymark.store.sqlite import SqliteViewStore


@pytest.fixture
def store(tmp_path: Path) -> SqliteViewStore:
    return SqliteViewStore(tmp_path / "views.sqlite")


def test_locks_never_overlap_and_all_come(store: SqliteViewStore) -> None:
    inside: list[str] = []
    met: list[str] = []

    def work(name: str) -> None:
        for _ in range(3):
            with locking(store, "dig") as lock:
                met.extend(inside)
                inside.append(name)
                lock.confirm()
                time.sleep(0.02)
                inside.remove(name)
            time.sleep(2 * PAUSE.total_seconds())

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met == []


def test_whoever_waits_in_vain_says_who_has_the_lock(store: SqliteViewStore) -> None:
    said = r"the lock of dig: another dig runs: process \d+"
    soon = timedelta(milliseconds=300)
    with locking(store, "dig"), pytest.raises(Unavailable, match=said), locking(store, "dig", patience=soon):
        pass


def test_a_wait_can_be_ended(store: SqliteViewStore) -> None:
    stop = threading.Event()
    stop.set()
    with locking(store, "dig"), pytest.raises(Unavailable), locking(store, "dig", stop=stop):
        pass


def test_a_lock_is_given_back_when_the_work_fails(store: SqliteViewStore) -> None:
    with pytest.raises(ZeroDivisionError), locking(store, "dig"):
        raise ZeroDivisionError
    with locking(store, "dig", patience=timedelta()):
        pass
