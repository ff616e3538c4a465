"""A ViewStore under many hands: threads, processes that write at once, and processes that are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor

from tallymark.rows import pack
from tallymark.settings import Settings
from tallymark.store import Attempt, Stamp, View, ViewStore
from tallymark.store.open import open_store
from tallymark.tally import Tally
from tests.support.minutes import NOON, found, minute, tally


def test_threads_share_a_store(store: ViewStore, video: str) -> None:
    def work(n: int) -> list[Tally]:
        store.put([minute(f"{video}-{n}", NOON, tally(n + 1))], version=Stamp(1, 0, n))
        return found(store, View.SPEED, f"{video}-{n}", version=1)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(40))) == [[tally(n + 1)] for n in range(40)]


def write_with_others(environment: dict[str, str], video: str, writer: int) -> None:
    """Cells of its own, cells that all write, and a counter that all raise."""
    store = open_store(Settings.load(environment))
    for n in range(25):
        store.put([minute(f"{video}-{writer}", NOON + n, tally(n + 1))], version=Stamp(1, 0, n))
        store.put([minute(video, NOON, tally(n + 1))], version=Stamp(1, 0, n))
        swapped = False
        while not swapped:
            seen = store.read_document(video)
            swapped = store.swap_document(video, seen, str(int(seen or 0) + 1).encode())
    store.close()


def test_processes_that_write_at_once_lose_nothing_of_each_other(
    store_settings: Settings, store: ViewStore, video: str
) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [
        spawn.Process(target=write_with_others, args=(store_settings.environment(), video, writer))
        for writer in range(3)
    ]
    for process in writers:
        process.start()
    for process in writers:
        process.join(60)
    assert [process.exitcode for process in writers] == [0, 0, 0]
    assert store.read_document(video) == b"75"
    assert found(store, View.SPEED, video, version=1) == [tally(25)]
    for writer in range(3):
        assert found(store, View.SPEED, f"{video}-{writer}", version=1) == [tally(n + 1) for n in range(25)]


def write_and_be_killed(environment: dict[str, str], video: str) -> None:
    store = open_store(Settings.load(environment))
    store.put_rows(pack([minute(video, NOON, tally(3))]), version=Attempt(1))
    store.write_document(video, b"written")
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_put_survives_the_death_of_the_process_that_put_it(store_settings: Settings, video: str) -> None:
    writer = multiprocessing.get_context("spawn").Process(
        target=write_and_be_killed, args=(store_settings.environment(), video)
    )
    writer.start()
    writer.join(60)
    assert writer.exitcode == -signal.SIGKILL
    opened_again = open_store(store_settings)
    assert found(opened_again, View.BATCH, video, version=1) == [tally(3)]
    assert opened_again.read_document(video) == b"written"
    opened_again.close()
