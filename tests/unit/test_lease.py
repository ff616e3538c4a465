"""Leases: one process works, others can say which one, and one that slept too long finds out before it does harm."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tallymark.errors import Damaged, LeaseHeld, StoreUnavailable
from tallymark.store.lease import holding
from tallymark.store.sqlite import SqliteViewStore
from tests.support.systems import eventually

NOW = datetime(2026, 2, 3, tzinfo=UTC)
LENGTH = timedelta(seconds=60)
SHORT = timedelta(seconds=0.4)
NAME = "lease/work"


def held_by(store: SqliteViewStore, **holder: Any) -> None:
    usual = {"host": socket.gethostname(), "pid": os.getpid(), "started": 0.0, "until": "2026-02-03T00:00:30Z"}
    store.write_document(NAME, json.dumps(usual | holder).encode())


def stored(store: SqliteViewStore) -> dict[str, Any]:
    document = store.read_document(NAME)
    assert document is not None
    found: dict[str, Any] = json.loads(document)
    return found


def test_the_second_is_told_who_works_since_when_and_how_to_go_on(store: SqliteViewStore) -> None:
    told = rf"another work runs: process {os.getpid()} on .+ since 2026-02-03 00:00:00 UTC .*00:01:00.*end that process"
    with holding(store, "work", now=lambda: NOW):
        with pytest.raises(LeaseHeld, match=told), holding(store, "work", now=lambda: NOW):
            pass
        with holding(store, "other work", now=lambda: NOW):
            pass
    with holding(store, "work", now=lambda: NOW):
        pass


def test_a_process_that_died_here_holds_nothing_even_before_its_parent_has_noticed(store: SqliteViewStore) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        eventually(lambda: Path(f"/proc/{dead.pid}/stat").read_text().split()[2] == "Z", within=20)
        held_by(store, pid=dead.pid, until="2100-01-01T00:00:00Z")
        with holding(store, "work", now=lambda: NOW):
            assert stored(store)["pid"] == os.getpid()


def test_a_process_number_of_another_container_says_nothing_about_ours(store: SqliteViewStore) -> None:
    held_by(store, space="pid:[1]", pid=999_999_999)
    with pytest.raises(LeaseHeld), holding(store, "work", now=lambda: NOW):
        pass


def test_a_lease_of_another_machine_holds_until_it_runs_out(store: SqliteViewStore) -> None:
    held_by(store, host="elsewhere", pid=1)
    with pytest.raises(LeaseHeld, match=r"process 1 on elsewhere .*00:00:30"), holding(store, "work", now=lambda: NOW):
        pass
    with holding(store, "work", now=lambda: NOW + timedelta(seconds=31)):
        assert stored(store)["host"] == socket.gethostname()


def test_who_waits_takes_the_lease_of_another_machine_when_that_is_not_renewed(store: SqliteViewStore) -> None:
    held_by(store, host="elsewhere", pid=1)
    with holding(store, "work", now=lambda: NOW, length=SHORT, wait=True):
        assert stored(store)["host"] == socket.gethostname()


def test_who_waits_gives_up_as_soon_as_the_other_machine_renews(store: SqliteViewStore) -> None:
    held_by(store, host="elsewhere", pid=1)
    renewing = threading.Timer(0.2, held_by, [store], {"host": "elsewhere", "pid": 1, "until": "2026-02-03T00:00:45Z"})
    renewing.start()
    with (
        pytest.raises(LeaseHeld, match=r"process 1 on elsewhere .*00:00:45"),
        holding(store, "work", now=lambda: NOW, length=timedelta(seconds=20), wait=True),
    ):
        pass
    renewing.join()


def test_who_waits_takes_the_lease_as_soon_as_it_is_given_back(store: SqliteViewStore) -> None:
    held_by(store, host="elsewhere", pid=1)
    free = threading.Timer(0.2, held_by, [store], {"host": "elsewhere", "pid": 1, "until": "1970-01-01T00:00:00Z"})
    free.start()
    with holding(store, "work", now=lambda: NOW, length=timedelta(seconds=20), wait=True):
        assert stored(store)["host"] == socket.gethostname()
    free.join()


def test_a_lease_is_renewed_while_its_holder_works(store: SqliteViewStore) -> None:
    with holding(store, "work", length=SHORT):
        first = stored(store)
        eventually(lambda: stored(store)["until"] > first["until"], within=20)
        assert stored(store)["token"] == first["token"]


def test_who_slept_past_its_lease_is_told_when_it_confirms(store: SqliteViewStore) -> None:
    with holding(store, "work", now=lambda: NOW) as lease:
        lease.confirm()
        with holding(store, "work", now=lambda: NOW + LENGTH):
            with pytest.raises(LeaseHeld, match=f"another work runs: process {os.getpid()}"):
                lease.confirm()
            mine = stored(store)
        assert mine["until"] == "2026-02-03T00:02:00Z"
    assert stored(store)["until"] == "1970-01-01T00:00:00Z"


def test_who_slept_past_its_lease_goes_on_when_nobody_wanted_it(store: SqliteViewStore) -> None:
    clock = [NOW]
    with holding(store, "work", now=lambda: clock[0]) as lease:
        clock[0] = NOW + 5 * LENGTH
        lease.confirm()
        assert stored(store)["until"] == "2026-02-03T00:06:00Z"


def test_who_works_is_told_when_it_confirms_that_its_lease_was_damaged(store: SqliteViewStore) -> None:
    with holding(store, "work", length=SHORT) as lease:
        store.write_document(NAME, b"{")
        eventually(lambda: "lease of work" not in {thread.name for thread in threading.enumerate()}, within=20)
        with pytest.raises(Damaged, match=f"the document {NAME} of the view store cannot be read"):
            lease.confirm()
    store.remove_documents([NAME])
    with holding(store, "work"):
        pass


def test_a_renewal_whose_answer_was_lost_is_taken_for_what_it_was(store: SqliteViewStore) -> None:
    class Unheard:
        """The store, whose answer to the next swap gets lost."""

        def __init__(self) -> None:
            self.deaf = False

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def swap_document(self, name: str, expected: bytes | None, body: bytes) -> bool:
            done = store.swap_document(name, expected, body)
            if self.deaf:
                self.deaf = False
                raise StoreUnavailable("no answer")
            return done

    unheard = Unheard()
    with holding(unheard, "work") as lease:  # type: ignore[arg-type]
        unheard.deaf = True
        with pytest.raises(StoreUnavailable):
            lease.confirm()
        lease.confirm()
