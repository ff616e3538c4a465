"""What `tallymark infra` decides before anything runs: ports, shapes, arguments; and how it asks servers that are not
well."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import msgspec
import pytest

from infra.cluster.addresses import choose
from infra.cluster.config import ClusterConfig, read_config
from infra.cluster.probes import probe_kafka, probe_port, probe_s3, probe_thrift
from infra.cluster.servers import servers_of
from tallymark.errors import ProcessError
from tests.support.systems import free_ports


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A port whose server says `answer` to whoever comes, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):  # at the end
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65_536)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def test_a_port_in_use_is_chosen_around_and_one_that_was_chosen_stays() -> None:
    with socket.create_server(("127.0.0.1", 0)) as guest:
        taken = guest.getsockname()[1]
        chosen = choose(["thrift-2", "thrift-3"], {"kafka": taken}, random=Random(1))
    assert chosen["kafka"] == taken
    assert 20_000 <= chosen["thrift-2"] < 30_000
    assert len(set(chosen.values())) == 3
    assert choose(["kafka", "thrift-2", "thrift-3"], chosen) == chosen


def test_a_shape_comes_back_as_it_was_written(tmp_path: Path) -> None:
    assert read_config(tmp_path) is None
    config = ClusterConfig(thrift_servers=3, heaps={"hbase": "2g"}, ports={"kafka": 1})
    config.write(tmp_path)
    assert read_config(tmp_path) == config
    assert config.thrift_names == ["thrift", "thrift-2", "thrift-3"]
    assert (config.heap("hbase"), config.heap("kafka")) == ("2g", "512m")
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(ProcessError, match=r"cluster\.json is damaged"):
        read_config(tmp_path)


def test_a_shape_that_no_server_could_have_is_refused() -> None:
    for heaps in ({"spark": "1g"}, {"kafka": "much"}):
        with pytest.raises(ProcessError, match="hbase=2g"):
            ClusterConfig(heaps=heaps)
    with pytest.raises(ProcessError, match="Thrift server"):
        ClusterConfig(thrift_servers=0)


def test_parts_share_no_port_and_have_their_heaps(tmp_path: Path) -> None:
    config = ClusterConfig(thrift_servers=2, heaps={"thrift": "300m"})
    config = msgspec.structs.replace(config, ports=choose(config.port_names, {}))
    servers = {server.name: server for server in servers_of(config, tmp_path)}
    assert list(servers) == ["kafka", "hbase", "thrift", "thrift-2", "s3"]
    ports = [port for server in servers.values() for port in server.listens.values()]
    assert len(set(ports)) == len(ports) == 8
    assert "-Xmx300m" in servers["thrift-2"].arguments
    assert servers["thrift"].needs == servers["hbase"].port


ASK: dict[str, Callable[[int], str | None]] = {
    "kafka": probe_kafka,
    "thrift": probe_thrift,
    "s3": lambda port: probe_s3(f"http://127.0.0.1:{port}", "key", "secret"),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_a_server_that_is_not_there_or_talks_otherwise_is_not_well(ask: Callable[[int], str | None]) -> None:
    (nobody,) = free_ports(1)
    assert str(nobody) in str(ask(nobody))
    for answer in (b"", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b"\0\0\0\x08" + b"\0" * 8):
        with answering(answer) as port:
            assert str(port) in str(ask(port))


def test_a_port_that_takes_connections_is_well() -> None:
    with answering(b"") as port:
        assert probe_port(port) is None
