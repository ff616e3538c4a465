"""What is told of the servers behind a view store: in the API's metrics, and by `tallymark status`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from infra.system.store_servers import servers_of_the_store
from serving.metrics import watch_servers
from tallymark.settings import Address, Settings
from tallymark.store.hbase.address import HBaseAddress
from tallymark.store.hbase.pool import Pool
from tallymark.store.sqlite import SqliteViewStore
from tests.support.systems import free_ports
from tests.support.thrift_servers import Mood, ThriftServer, thrift_servers


@pytest.fixture
def two() -> Iterator[list[ThriftServer]]:
    with thrift_servers("a", "b") as servers:
        yield servers


@contextmanager
def api_that_says(metrics: str) -> Iterator[str]:
    """The address of a server that answers `metrics` to everything."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(metrics.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def told(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_metrics_tell_which_servers_are_called_and_how_often_they_failed(two: list[ThriftServer]) -> None:
    registry = CollectorRegistry()
    pool = Pool([server.address for server in two], pause=lambda _: None)
    watch_servers(registry, pool)
    two[0].mood = Mood.REFUSES
    for _ in range(20):
        pool.call(lambda link: link.families(b"t"), within=2)
    found = told(registry)
    sick, well = (f'{{server="127.0.0.1:{server.address.port}"}}' for server in two)
    assert (found[f"tallymark_store_server_answering{sick}"], found[f"tallymark_store_server_answering{well}"]) == (
        0,
        1,
    )
    assert found[f"tallymark_store_server_failed_calls_total{sick}"] == 3
    assert found[f"tallymark_store_server_calls_total{well}"] == 20
    assert found[f"tallymark_store_server_calls_under_way{well}"] == 0
    assert found[f"tallymark_store_server_idle_connections{well}"] == 1


def test_a_store_without_servers_tells_of_none(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    store = SqliteViewStore(tmp_path / "views.sqlite")
    watch_servers(registry, store)
    store.close()
    assert told(registry) == {}
    assert servers_of_the_store(Settings(home=tmp_path), api="http://127.0.0.1:1") == []


def test_status_names_the_servers_that_do_not_answer_and_those_that_the_api_leaves_alone(
    two: list[ThriftServer], tmp_path: Path
) -> None:
    """The scripted servers know one call only, and refuse what status asks for: none of the three answers."""
    nobody = Address("127.0.0.1", free_ports(1)[0])
    hosts = ",".join(f"{host}:{port}" for host, port in (two[0].address, nobody))
    settings = replace(Settings(home=tmp_path), store=f"hbase://{hosts}?prefix=p_")
    resting = f'tallymark_store_server_answering{{server="127.0.0.1:{two[0].address.port}"}} 0.0\n'
    with api_that_says(resting) as api:
        first, second = servers_of_the_store(settings, api=api)
    assert (first.called, second.called) == (False, None)
    assert second.problem is not None
    assert f"127.0.0.1:{nobody.port}, a server of the view store, does not answer: no connection" in second.problem
    answers_again = type(first)(address=first.address, trouble=None, called=False)
    assert "its circuit is open" in (answers_again.problem or "")
    assert type(first)(address=first.address, trouble=None, called=None).problem is None


def test_the_place_of_a_store_is_read_from_its_url() -> None:
    assert HBaseAddress.of("hbase://a:1,b:2?prefix=x_") == ([Address("a", 1), Address("b", 2)], "x_")
    assert HBaseAddress.of("hbase://a:1").prefix == "tallymark_"
