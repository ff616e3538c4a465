"""A bucket without room: the archive says so, and goes on when there is some."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tallymark.errors import RawUnavailable
from tallymark.event import Event
from tallymark.settings import Settings
from tallymark.store.sqlite import SqliteViewStore
from tests.support.clusters import RunningCluster
from tests.support.raw_tables import commits, pinned, written
from tests.support.recounts import MIDNIGHT


@contextmanager
def full(cluster: RunningCluster) -> Iterator[None]:
    """The S3 server can write nothing more, as on a disk that is full."""
    (server,) = (process for server, process in cluster.cluster.servers() if server.name == "s3" and process)
    _, hard = before = server.rlimit(psutil.RLIMIT_FSIZE)
    server.rlimit(psutil.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        server.rlimit(psutil.RLIMIT_FSIZE, before)


def test_a_bucket_that_is_full_is_named_with_the_remedy_and_nothing_is_lost(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    home = Settings(home=tmp_path)
    table = replace(home, raw=cluster.settings(tmp_path).raw)
    events = [Event(event_id=f"e{n}", type="view", video_id="v", occurred_at=MIDNIGHT * 60_000 + n) for n in range(500)]
    with closing(SqliteViewStore(tmp_path / "views.sqlite")) as store:
        archive = commits(table, store)
        archive.open()
        with full(cluster):
            with pytest.raises(RawUnavailable, match=rf"{table.raw}.*has room.*none is lost"):
                written(table, events)
            with pytest.raises(RawUnavailable, match="has room"):
                archive.add([], 0)
        archive.add(written(table, events), 0)
        archive.add(written(table, events), 0)
    assert sum(file.rows for file in pinned(table).files) == 500
