"""HBase as a view store when servers hang, die or lose answers, and when tables are not what they should be."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import happybase
import pytest

from tallymark.buckets import Bucket, Grain
from tallymark.calls.breaker import Circuit
from tallymark.cells import SHARDS, Cell
from tallymark.errors import IncompatibleStore, StoreUnavailable
from tallymark.rows import pack
from tallymark.settings import Address, Settings
from tallymark.store import Attempt, Stamp, View
from tallymark.store.hbase.store import HBaseViewStore
from tallymark.store.open import open_store
from tests.support.clusters import RunningCluster
from tests.support.minutes import NOON, found, minute, tally
from tests.support.proxies import Proxy, proxy_to
from tests.support.systems import eventually, free_ports


class Tables:
    """The tables of this file, and the Thrift servers in front of them."""

    def __init__(self, settings: Settings) -> None:
        servers, self.prefix = settings.store.removeprefix("hbase://").split("?prefix=")
        self.servers = [Address(host, int(port)) for host, _, port in (s.partition(":") for s in servers.split(","))]

    def url(self, *servers: Address, prefix: str | None = None) -> str:
        hosts = ",".join(f"{server.host}:{server.port}" for server in servers or self.servers)
        return f"hbase://{hosts}?prefix={self.prefix if prefix is None else prefix}"


@pytest.fixture(scope="module")
def tables(cluster: RunningCluster, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables(cluster.settings(tmp_path_factory.mktemp("home")))


@pytest.fixture
def proxy(tables: Tables) -> Iterator[Proxy]:
    with proxy_to(tables.servers[0]) as proxy:
        yield proxy


@pytest.fixture
def direct(tables: Tables) -> Iterator[HBaseViewStore]:
    store = HBaseViewStore.open(tables.url())
    yield store
    store.close()


@pytest.fixture
def store(tables: Tables, proxy: Proxy, direct: HBaseViewStore) -> Iterator[HBaseViewStore]:
    """Through the proxy."""
    store = HBaseViewStore.open(tables.url(proxy.address))
    yield store
    store.close()


@contextmanager
def stopped(cluster: RunningCluster, name: str) -> Iterator[None]:
    """The process stands still: it takes connections, and never answers."""
    (process,) = (process for server, process in cluster.cluster.servers() if server.name == name and process)
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_a_swap_whose_answer_was_lost_is_known_to_have_been_done(
    store: HBaseViewStore, proxy: Proxy, video: str
) -> None:
    proxy.lose_answers(1)
    assert store.swap_document(video, None, b"1")
    proxy.lose_answers(1)
    assert store.swap_document(video, b"1", b"2")
    proxy.lose_answers(1)
    assert not store.swap_document(video, b"1", b"3")
    assert store.read_document(video) == b"2"


def test_a_swap_whose_answer_was_lost_is_no_win_over_who_came_after_it(
    store: HBaseViewStore, direct: HBaseViewStore, proxy: Proxy, video: str
) -> None:
    proxy.lose_answers(1, lost=lambda: direct.swap_document(video, b"1", b"2"))
    assert not store.swap_document(video, None, b"1")
    assert store.read_document(video) == b"2"


def test_a_write_that_a_server_does_late_changes_nothing_any_more(
    store: HBaseViewStore, direct: HBaseViewStore, proxy: Proxy, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallymark.store.hbase.store._WORK_SECONDS", 0.5)
    proxy.hold_back(2)  # the first one reads
    store.write_document(video, b"old")
    direct.write_document(video, b"new")
    before = proxy.answers
    proxy.release()
    eventually(lambda: proxy.answers > before, within=10)
    assert direct.read_document(video) == b"new"


def test_what_was_asked_when_the_answer_was_lost_is_asked_again(
    store: HBaseViewStore, proxy: Proxy, video: str
) -> None:
    proxy.lose_answers(1)
    store.put_rows(pack([minute(video, NOON, tally(3))]), version=Attempt(1))
    proxy.lose_answers(1)
    assert found(store, View.BATCH, video, version=1) == [tally(3)]
    proxy.lose_answers(1)
    store.write_document(video, b"1")
    proxy.lose_answers(1)
    assert store.list_documents(video) == [(video, b"1")]


def test_connections_that_died_idle_are_not_noticed(store: HBaseViewStore, proxy: Proxy, video: str) -> None:
    store.write_document(video, b"1")
    for _ in range(3):
        proxy.cut()
        assert store.read_document(video) == b"1"
    assert [server.failed for server in store.state.servers] == [0]


def test_a_scan_goes_on_after_its_connection_died(store: HBaseViewStore, proxy: Proxy, video: str) -> None:
    cells = [minute(f"{video}-{n}", NOON + at, tally(at + 1)) for n in range(2_000) for at in (0, 61)]
    store.put_rows(pack(cells), version=Attempt(1))
    walked = []
    for shard in range(SHARDS):
        for n, cell in enumerate(store.scan(View.BATCH, shard, Grain.MINUTE, version=1)):
            if n % 90 == 0:
                proxy.cut()
            if cell.video_id.startswith(f"{video}-"):
                walked.append(cell)
    assert len(walked) == len(cells)
    assert set(walked) == set(cells)


def test_the_server_finds_the_grain_of_any_row(direct: HBaseViewStore, tables: Tables, video: str) -> None:
    """It reads keys as text: whatever the id is written in, and whatever the four bytes of the start happen to be."""
    ids = [f"{video}{tail}" for tail in ("", "ü", "日本", "\U0001f3ac", "\U0010ffff", "\x7f", "é\x80")] + [
        f"\x01{video}"
    ]
    minutes = [15_778_080, 16_777_216 + 60 * 1092, 29_454_480, 33_488_896, 67_000_000]
    cells = {
        grain: [
            Cell(id_, "view", Bucket.containing(at, grain), tally(n)) for id_ in ids for n, at in enumerate(minutes, 1)
        ]
        for grain in Grain
    }
    direct.put_rows(pack([cell for some in cells.values() for cell in some]), version=Attempt(1))
    for grain in Grain:
        scans = (direct.scan(View.BATCH, shard, grain, version=1) for shard in range(SHARDS))
        assert sorted(c for scan in scans for c in scan if video in c.video_id) == sorted(cells[grain])


def test_a_server_that_hangs_is_passed_over_and_taken_back(
    cluster: RunningCluster, direct: HBaseViewStore, video: str
) -> None:
    direct.write_document(video, b"1")

    def circuits() -> set[Circuit]:
        return {server.circuit for server in direct.state.servers}

    with stopped(cluster, "thrift"), ThreadPoolExecutor(8) as readers:
        assert set(readers.map(direct.read_document, [video] * 100)) == {b"1"}
        assert circuits() == {Circuit.OPEN, Circuit.CLOSED}
        began = time.monotonic()
        assert set(readers.map(direct.read_document, [video] * 100)) == {b"1"}
        assert time.monotonic() - began < 1.5
    eventually(lambda: direct.read_document(video) and circuits() == {Circuit.CLOSED}, within=30, every=0.1)


def test_a_writer_waits_for_a_server_that_is_killed_and_started_again(
    cluster: RunningCluster, tables: Tables, video: str
) -> None:
    store = HBaseViewStore.open(tables.url(tables.servers[0]))
    store.write_document(video, b"before")
    cluster.cluster.kill("thrift")
    mending = threading.Thread(target=cluster.cluster.start, args=("thrift",))
    mending.start()
    store.put([minute(video, NOON, tally(1))], version=Stamp(1, 0, 1))
    mending.join()
    assert found(store, View.SPEED, video, version=1) == [tally(1)]
    assert store.read_document(video) == b"before"
    store.close()


def test_when_nobody_answers_all_are_named_soon(tables: Tables) -> None:
    nobody = [Address("127.0.0.1", port) for port in free_ports(2)]
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as error:
        HBaseViewStore.open(tables.url(*nobody))
    assert time.monotonic() - began < 5
    for server in nobody:
        assert f"127.0.0.1:{server.port} (no connection: [Errno 111] Connection refused)" in str(error.value)
    assert "TALLYMARK_STORE" in str(error.value)


def test_when_all_hang_a_reader_knows_within_seconds(cluster: RunningCluster, direct: HBaseViewStore) -> None:
    with stopped(cluster, "thrift"), stopped(cluster, "thrift-2"):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            direct.read_document("publication")
        assert time.monotonic() - began < 15


def test_tables_that_are_not_there_are_named_with_the_remedy(tables: Tables, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, store=tables.url(prefix="nothing_"))
    with pytest.raises(IncompatibleStore, match=r"no table nothing_speed; make it by `tallymark infra up`.*SPLITS"):
        open_store(settings)


def test_tables_that_were_made_otherwise_are_refused(tables: Tables) -> None:
    prefix = f"{tables.prefix}other_"
    thrift = happybase.Connection(*tables.servers[0])
    for table in ("speed", "batch", "meta"):
        families = ("c",) if table == "meta" else ("c", "u")
        thrift.create_table(prefix + table, {family: {"max_versions": 1} for family in families})
    with pytest.raises(IncompatibleStore, match=rf"{prefix}batch has family c with 1 versions, .* family c with 512"):
        HBaseViewStore.open(tables.url(prefix=prefix))
    thrift.close()


def test_tables_that_were_filled_by_another_layout_are_refused(cluster: RunningCluster, tmp_path: Path) -> None:
    of_its_own = cluster.settings(tmp_path)
    store = open_store(of_its_own)
    assert store.read_document("layout") == b"layout 3, 16 shards"
    store.write_document("layout", b"layout 2, 16 shards")
    store.close()
    with pytest.raises(IncompatibleStore, match="'layout 2, 16 shards', this Tallymark needs 'layout 3, 16 shards'"):
        open_store(replace(of_its_own, home=tmp_path / "other"))
