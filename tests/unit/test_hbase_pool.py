"""The pool against servers that hang, hang up, refuse and go away: real sockets, a clock of the test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tallymark.calls.breaker import Circuit
from tallymark.errors import IncompatibleStore, StoreUnavailable
from tallymark.settings import Address
from tallymark.store.hbase.connection import Connection
from tallymark.store.hbase.pool import Pool, PoolSettings
from tests.support.systems import free_ports
from tests.support.thrift_servers import Mood, ThriftServer, thrift_servers


class World:
    """Time that passes only when the pool pauses, and no luck: of equal servers the first is taken."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def pool(self, *servers: ThriftServer | Address) -> Pool:
        addresses = [server if isinstance(server, Address) else server.address for server in servers]
        return Pool(addresses, clock=lambda: self.now, pause=self.pause, chance=lambda: 0.5)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def two() -> Iterator[list[ThriftServer]]:
    with thrift_servers("a", "b") as servers:
        yield servers


def ask(pool: Pool, *, within: float = 5.0, patience: float = 0.0) -> str:
    """The name of the server that answered."""
    families = pool.call(lambda connection: connection.families(b"t"), within=within, patience=patience)
    ((name, versions),) = families.items()
    assert versions == 7
    return name.decode()


def test_a_connection_is_used_again(world: World, two: list[ThriftServer]) -> None:
    pool = world.pool(two[0])
    assert [ask(pool) for _ in range(5)] == ["a"] * 5
    (server,) = pool.state.servers
    assert (server.idle, server.calls, server.failed, server.under_way) == (1, 5, 0, 0)


def test_a_connection_that_died_idle_is_replaced_and_no_failure(world: World, two: list[ThriftServer]) -> None:
    pool = world.pool(two[0])
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: ask(pool), range(40)))
    two[0].drop_connections()
    assert ask(pool) == "a"
    (server,) = pool.state.servers
    assert (server.idle, server.failed, world.pauses) == (1, 0, [])


@pytest.mark.parametrize("mood", [Mood.HANGS, Mood.HANGS_UP, Mood.REFUSES])
def test_the_next_server_takes_over_and_the_sick_one_is_left_alone(
    world: World, two: list[ThriftServer], mood: Mood
) -> None:
    pool = world.pool(*two)
    two[0].mood = mood
    assert [ask(pool, within=0.1) for _ in range(6)] == ["b"] * 6
    sick, well = pool.state.servers
    assert (sick.circuit, sick.failed, well.circuit, well.failed) == (Circuit.OPEN, 3, Circuit.CLOSED, 0)
    assert pool.state.answering == 1
    assert two[0].calls == 3
    world.now += 2.0
    assert ask(pool, within=0.1) == "b", "the probe failed"
    assert two[0].calls == 4
    two[0].mood = Mood.ANSWERS
    assert ask(pool) == "b", "it rests again"
    world.now += 2.0
    assert ask(pool) == "a"
    assert pool.state.answering == 2


def test_what_a_server_did_is_said_in_one_line(world: World, two: list[ThriftServer]) -> None:
    a, b = two
    a.mood, b.mood = Mood.REFUSES, Mood.HANGS
    nobody = Address("127.0.0.1", free_ports(1)[0])
    with pytest.raises(StoreUnavailable) as error:
        ask(world.pool(a, b, nobody), within=0.1)
    assert str(error.value).startswith(
        f"the view store does not answer: 127.0.0.1:{a.address.port} (java.io.IOException: no region), "
        f"127.0.0.1:{b.address.port} (no answer in time), "
        f"127.0.0.1:{nobody.port} (no connection: [Errno 111] Connection refused); check that HBase"
    )
    assert error.value.retriable


def test_while_all_rest_a_reader_is_told_at_once(world: World, two: list[ThriftServer]) -> None:
    pool = world.pool(*two)
    for server in two:
        server.mood = Mood.HANGS
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            ask(pool, within=0.1)
    assert [server.calls for server in two] == [3, 3]
    assert time.monotonic() - began < 5


def test_who_has_patience_waits_for_a_server_that_comes_back(world: World, two: list[ThriftServer]) -> None:
    pool = world.pool(two[0])
    two[0].mood = Mood.REFUSES
    began = world.now
    with pytest.raises(StoreUnavailable):
        ask(pool, patience=20)
    assert 20 <= world.now - began < 22

    def heal_after_a_while(seconds: float) -> None:
        world.pause(seconds)
        if world.now > began + 30:
            two[0].mood = Mood.ANSWERS

    patient = Pool([two[0].address], clock=lambda: world.now, pause=heal_after_a_while, chance=lambda: 0.5)
    assert ask(patient, patience=20) == "a"


def test_pauses_are_random_parts_of_a_growing_time(world: World, two: list[ThriftServer]) -> None:
    two[0].mood = Mood.REFUSES
    luck = iter([0.5, 0.0, 0.9, 0.25] * 50)
    settings = PoolSettings(failures=1_000, first_pause=0.02, longest_pause=1.0)
    pool = Pool([two[0].address], settings, clock=lambda: world.now, pause=world.pause, chance=lambda: next(luck))
    with pytest.raises(StoreUnavailable):
        ask(pool, patience=5)
    bounds = [min(1.0, 0.02 * 2**n) for n in range(len(world.pauses))]
    assert all(0 <= pause <= bound for pause, bound in zip(world.pauses, bounds, strict=True))
    assert len({pause / bound for pause, bound in zip(world.pauses, bounds, strict=True)}) > 1


def test_an_answer_that_nobody_likes_is_no_failure_of_the_server(world: World, two: list[ThriftServer]) -> None:
    pool = world.pool(two[0])
    two[0].mood = Mood.KNOWS_NO_TABLE
    for _ in range(5):
        with pytest.raises(IncompatibleStore, match=r"TableNotFoundException: t$"):
            ask(pool)
    (server,) = pool.state.servers
    assert (server.circuit, server.failed, server.idle) == (Circuit.CLOSED, 0, 1)


def test_a_call_that_was_broken_off_leaves_no_half_read_answer_behind(world: World, two: list[ThriftServer]) -> None:
    pool = world.pool(two[0])

    def interrupted(connection: Connection) -> None:
        connection.families(b"t")
        connection.broken = True  # what an interrupt in the middle of a call leaves
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pool.call(interrupted, within=5)
    (server,) = pool.state.servers
    assert (server.idle, server.under_way, server.failed) == (0, 0, 0)
    assert ask(pool) == "a"


def test_threads_share_the_servers_evenly_and_connections_are_bounded(world: World, two: list[ThriftServer]) -> None:
    pool = Pool([server.address for server in two], PoolSettings(idle=3))
    with ThreadPoolExecutor(8) as threads:
        names = list(threads.map(lambda _: ask(pool), range(400)))
    assert min(names.count("a"), names.count("b")) > 100
    assert all(server.idle <= 3 and server.under_way == 0 for server in pool.state.servers)
    pool.close()
    assert [server.idle for server in pool.state.servers] == [0, 0]
