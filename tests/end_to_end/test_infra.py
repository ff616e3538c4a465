"""`tallymark infra`: real servers that come up together, are found again, survive kill -9, and leave nobody behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import boto3
import happybase
import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from infra.cluster import Cluster, Names
from infra.cluster.bucket import s3_client
from infra.host.home import Home
from infra.host.process import end, process_of, spawn
from stream.log import open_log
from tallymark.errors import IncompatibleStore, ProcessError
from tallymark.settings import Settings
from tests.support.clusters import RunningCluster
from tests.support.systems import processes_of, settings_in, tallymark, told

SERVERS = ["kafka", "hbase", "thrift", "thrift-2", "s3"]


@pytest.fixture
def of_cluster(cluster: RunningCluster) -> Settings:
    """Settings with which the command finds the cluster."""
    return settings_in(cluster.cluster.home.root.parent)


@pytest.fixture
def connection(cluster: RunningCluster) -> Iterator[happybase.Connection]:
    store = cluster.cluster.environment()["TALLYMARK_STORE"]
    port = int(store.removeprefix("hbase://").partition(",")[0].rpartition(":")[2])
    opened = happybase.Connection("127.0.0.1", port)
    yield opened
    opened.close()


def fresh_names() -> Names:
    """As `cluster.names()`, but nothing of it has been made."""
    word = uuid4().hex[:10]
    return Names(topic=f"topic-{word}", prefix=f"t{word}_", bucket=f"bucket-{word}")


def pids(settings: Settings) -> dict[str, int]:
    return {server["name"]: server["pid"] for server in told(settings, "infra", "status")}


def test_up_again_changes_nothing(cluster: RunningCluster, of_cluster: Settings) -> None:
    before = pids(of_cluster)
    assert list(before) == SERVERS
    cluster.cluster.up(names=None)
    assert pids(of_cluster) == before


def test_status_shows_each_server_with_its_address(of_cluster: Settings) -> None:
    done = tallymark(of_cluster, "infra", "status")
    assert done.returncode == 0
    for server in told(of_cluster, "infra", "status"):
        assert server["state"] == "ready"
        assert server["memory_bytes"] > 10**7
        assert server["address"] in done.stdout
        assert Path(server["log"]).is_file()


def test_env_is_the_same_for_a_shell_and_as_json(of_cluster: Settings) -> None:
    variables = told(of_cluster, "infra", "env")
    script = f"{tallymark(of_cluster, 'infra', 'env').stdout}\n{sys.executable} -c '{PRINT_ENVIRONMENT}'"
    seen = subprocess.run(["bash", "-c", script], env={}, capture_output=True, text=True, check=True)
    assert json.loads(seen.stdout).items() >= variables.items()
    assert {name for name in variables if name.startswith("TALLYMARK_")} == {
        "TALLYMARK_LOG",
        "TALLYMARK_STORE",
        "TALLYMARK_RAW",
        "TALLYMARK_SPARK_JARS",
    }


PRINT_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


def test_everything_listens_on_loopback_only(cluster: RunningCluster) -> None:
    for server, process in cluster.cluster.servers():
        assert process is not None
        listens = [c.laddr for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        assert {address.port for address in listens} >= set(server.listens.values())
        assert {address.ip.removeprefix("::ffff:") for address in listens} <= {"127.0.0.1", "::1"}, server.name


def test_keys_can_be_read_by_their_owner_only(cluster: RunningCluster) -> None:
    secret = cluster.environment["AWS_SECRET_ACCESS_KEY"].encode()
    files = []
    for folder, folders, names in os.walk(cluster.cluster.home.root):
        folders[:] = set(folders) - {"data"}  # what the servers keep there changes while it is looked at
        files += [path for name in names if (path := Path(folder, name)).is_file()]
    holders = {path for path in files if secret in path.read_bytes()}
    assert {path.name for path in holders} == {"keys.json", "s3proxy.properties"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in holders)


def test_logs_prints_the_end_of_a_log(of_cluster: Settings) -> None:
    assert tallymark(of_cluster, "infra", "logs", "kafka").returncode == 0
    done = tallymark(of_cluster, "infra", "logs", "mongodb")
    assert done.returncode == 1
    assert "kafka, hbase, thrift" in done.stderr


def test_tables_are_split_by_shard_and_keep_their_versions(
    cluster: RunningCluster, connection: happybase.Connection
) -> None:
    names = fresh_names()
    cluster.cluster.make(names)
    for table, versions, regions in (("speed", 1, 16), ("batch", 512, 16), ("meta", 1, 1)):
        family = connection.table(f"{names.prefix}{table}").families()[b"c"]
        assert family["max_versions"] == versions
        assert family["compression"] == b"SNAPPY"
        assert family["bloom_filter_type"] == b"ROW"
        starts = [region["start_key"] for region in connection.table(f"{names.prefix}{table}").regions()]
        assert starts == [b"", *(bytes((n,)) for n in range(1, regions))]
    cluster.cluster.make(names)


def test_tables_that_were_made_otherwise_are_named(cluster: RunningCluster, connection: happybase.Connection) -> None:
    names = fresh_names()
    table = f"{names.prefix}batch"
    connection.create_table(table, {"c": {"max_versions": 3}})
    with pytest.raises(IncompatibleStore) as refused:
        cluster.cluster.make(names)
    assert f"{table} keeps 3 versions of a cell instead of 512" in str(refused.value)
    assert f"{table} is not split at the shards" in str(refused.value)


def test_prepare_makes_what_the_settings_name_on_any_servers(
    cluster: RunningCluster, connection: happybase.Connection, tmp_path: Path
) -> None:
    names = fresh_names()
    settings = replace(Settings.load(cluster.cluster.environment(names)), home=tmp_path)
    refused = tallymark(settings, "infra", "prepare")
    assert refused.returncode == 1
    assert "--zookeeper" in refused.stderr
    zookeeper = next(server.port for server, _ in cluster.cluster.servers() if server.name == "hbase")
    for _ in range(2):
        done = tallymark(settings, "infra", "prepare", "--zookeeper", f"127.0.0.1:{zookeeper}", "--regions", "4")
        assert done.returncode == 0, done.stderr
    assert len(connection.table(f"{names.prefix}batch").regions()) == 4
    boto3.client("s3").head_bucket(Bucket=names.bucket)
    assert open_log(settings).horizon().positions == dict.fromkeys(range(4), 0)


@pytest.mark.slow
def test_a_killed_server_keeps_its_data(cluster: RunningCluster, connection: happybase.Connection) -> None:
    names = cluster.names()
    servers = cluster.cluster.environment(names)["TALLYMARK_LOG"].removeprefix("kafka://").partition("/")[0]
    producer = Producer({"bootstrap.servers": servers, "acks": "all"})
    for n in range(100):
        producer.produce(names.topic, str(n), key=str(n), partition=0)
    assert producer.flush(30) == 0
    connection.table(f"{names.prefix}batch").put(b"\x01row", {b"c:q": b"kept"})
    access = cluster.environment["AWS_ACCESS_KEY_ID"], cluster.environment["AWS_SECRET_ACCESS_KEY"]
    s3 = s3_client(cluster.environment["AWS_ENDPOINT_URL"], *access)
    s3.put_object(Bucket=names.bucket, Key="folder/object", Body=b"kept")

    for server in ("kafka", "hbase", "s3"):
        cluster.cluster.kill(server)
        states = {each.name: process for each, process in cluster.cluster.servers()}
        assert states[server] is None
        cluster.cluster.start(server)

    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(names.topic, 0, 0)])
    assert [record.value() for record in consumer.consume(100, 30)] == [str(n).encode() for n in range(100)]
    consumer.close()
    assert connection.table(f"{names.prefix}batch").row(b"\x01row") == {b"c:q": b"kept"}
    assert s3.get_object(Bucket=names.bucket, Key="folder/object")["Body"].read() == b"kept"


@pytest.mark.slow
def test_a_second_cluster_takes_other_ports_and_down_leaves_nobody_behind(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    second = Cluster(tmp_path)
    of_second, settings = settings_in(tmp_path), settings_in(second.home.root)
    try:
        with pytest.raises(
            ProcessError, match=r"s3 ended by itself; the end of .*s3\.log:\n.*\n *Too small maximum heap"
        ):
            second.up(heaps={"s3": "1k"})
        assert processes_of(settings) == []
        told(of_second, "infra", "up", "--heap", "s3=128m")
        ours = {port for server, _ in cluster.cluster.servers() for port in server.listens.values()}
        theirs = {port for server, _ in second.servers() for port in server.listens.values()}
        assert not ours & theirs
        assert len(processes_of(settings)) == 4
    finally:
        ended = second.down()
    assert sorted(ended) == ["hbase", "kafka", "s3", "thrift"]
    assert processes_of(settings) == []
    assert second.down() == []

    with socket.socket() as guest:
        guest.bind(("127.0.0.1", dict(second.servers()[0][0].listens)["kafka"]))
        guest.listen()
        with pytest.raises(ProcessError) as refused:
            second.up()
    assert f"in use by process {os.getpid()}" in str(refused.value)
    assert processes_of(settings) == []


def test_a_process_that_has_a_noted_number_by_chance_is_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleep, start_new_session=True) as stranger:
        try:
            (tmp_path / "run" / "kafka.json").write_text(json.dumps({"pid": stranger.pid, "started_at": 0.0}))
            assert process_of("kafka", home) is None
            assert not end("kafka", home, grace=1)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_server_that_was_stopped_by_a_signal_is_ended_all_the_same(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    spawn("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], home=home, environment=os.environ)
    process = process_of("sleeper", home)
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    assert end("sleeper", home, grace=10)
    assert process_of("sleeper", home) is None
