"""The stream process by itself, without a gateway in front: events are put into the log, and what becomes of them is
looked for in the raw table and the view store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import polars as pl

from stream.log import open_log
from stream.progress import has_passed
from tallymark.cells import CellKey
from tallymark.documents import publication
from tallymark.documents.progress import read_progress
from tallymark.event import Event, encode
from tallymark.instants import EPOCH
from tallymark.raw import RawTable
from tallymark.raw.s3 import S3, is_s3
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tallymark.tally import Tally
from tests.support.speed_cells import speed_cells
from tests.support.systems import ROOT, environment, eventually


@contextmanager
def streaming(settings: Settings, *, within: float = 240) -> Iterator[subprocess.Popen[bytes]]:
    """`tallymark stream` while inside, from when it is ready; its words are in `words_of(settings)`."""
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "run" / "stream.ready").unlink(missing_ok=True)  # of one that was killed
    with _words(settings).open("ab") as words, _started(settings, words.fileno()) as process:
        try:
            eventually(lambda: _is_ready(settings, process), within=within)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()


def words_of(settings: Settings) -> str:
    return _words(settings).read_text()


def append(settings: Settings, events: Sequence[Event]) -> dict[int, int]:
    """Put the events into the log and return where it ends."""
    with closing(open_log(settings)) as log:
        log.append([(event.event_id, encode(event)) for event in events])
        return log.horizon().positions


def has_read(settings: Settings, layer: str, end: dict[int, int]) -> bool:
    """Whether `layer` (ARCHIVE or SPEED) has taken in all that lies before `end`. Fails when nobody works at it."""
    ready = (settings.home / "run" / "stream.ready").exists()
    with closing(open_store(settings)) as store:
        progress = read_progress(store, layer)
    if progress is not None and has_passed(progress.positions, end):
        return True
    assert ready, words_of(settings)
    return False


def included_until(settings: Settings, layer: str) -> datetime:
    with closing(open_store(settings)) as store:
        progress = read_progress(store, layer)
    return progress.included_until if progress is not None else EPOCH


def raw_places(settings: Settings) -> list[tuple[int, int]]:
    """(partition, offset) of each row of the raw table, in order; what is there twice is twice in it."""
    files = [file.uri for file in RawTable(settings.raw_uri).pin().files]
    storage = S3.of(dict(environment(settings))).for_polars() if is_s3(settings.raw_uri) else None
    rows = pl.scan_parquet(files, hive_partitioning=False, glob=False, storage_options=storage)
    return sorted(rows.select("log_partition", "log_offset").collect().rows())


def counted(settings: Settings) -> dict[CellKey, Tally]:
    """What the published epoch has counted."""
    with closing(open_store(settings)) as store:
        return speed_cells(store, publication.current(store).epoch)


def _started(settings: Settings, words: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tallymark", "stream"]
    return subprocess.Popen(
        command, env=environment(settings), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=words, stderr=words
    )


def _is_ready(settings: Settings, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, words_of(settings)
    return (settings.home / "run" / "stream.ready").exists()


def _words(settings: Settings) -> Path:
    return settings.home / "stream.words"
