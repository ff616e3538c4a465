"""Turns: one at a time, and whoever comes second waits."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tallymark.errors import Unavailable
from tallymark.store.lock import PAUSE, taking_turn
from tallymark.store.sqlite import SqliteViewStore


@pytest.fixture
def store(tmp_path: Path) -> SqliteViewStore:
    return SqliteViewStore(tmp_path / "views.sqlite")


def test_turns_never_overlap_and_all_come(store: SqliteViewStore) -> None:
    inside: list[str] = []
    met: list[str] = []

    def work(name: str) -> None:
        for _ in range(3):
            with taking_turn(store, "dig") as turn:
                met.extend(inside)
                inside.append(name)
                turn.confirm()
                time.sleep(0.02)
                inside.remove(name)
            time.sleep(2 * PAUSE.total_seconds())

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met == []


def test_whoever_waits_in_vain_says_who_has_the_turn(store: SqliteViewStore) -> None:
    said = r"the turn of dig: another dig runs: process \d+"
    soon = timedelta(milliseconds=300)
    with taking_turn(store, "dig"), pytest.raises(Unavailable, match=said), taking_turn(store, "dig", patience=soon):
        pass


def test_a_wait_can_be_ended(store: SqliteViewStore) -> None:
    stop = threading.Event()
    stop.set()
    with taking_turn(store, "dig"), pytest.raises(Unavailable), taking_turn(store, "dig", stop=stop):
        pass


def test_a_turn_is_given_back_when_the_work_fails(store: SqliteViewStore) -> None:
    with pytest.raises(ZeroDivisionError), taking_turn(store, "dig"):
        raise ZeroDivisionError
    with taking_turn(store, "dig", patience=timedelta()):
        pass
