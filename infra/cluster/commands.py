"""`tallymark infra …`: real servers on this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from datetime import timedelta
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
import psutil
import typer

from infra.cluster.addresses import HOST
from infra.cluster.bucket import make_bucket
from infra.cluster.cluster import Cluster
from infra.cluster.environment import environment_of
from infra.cluster.jars import jars
from infra.cluster.servers import Server
from infra.cluster.tables import REGIONS, make_tables
from infra.host.home import Home
from infra.host.sessions import memory
from tallymark.cli.terminal import ago, megabytes, say
from tallymark.errors import ProcessError
from tallymark.settings import Settings, parse_duration

__all__ = ["ServerStatus", "down", "env", "logs", "prepare", "status", "up"]

_NOT_WELL: Final = 3

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


class ServerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: ready, not answering, or stopped; `trouble` says more."""

    name: str
    state: str
    address: str
    pid: int | None
    uptime_s: float | None
    memory_bytes: int | None
    trouble: str | None
    log: str


def up(
    partitions: Annotated[
        int | None, typer.Option(min=1, show_default="4", help="Partitions of the topic, when it is made.")
    ] = None,
    retention: Annotated[
        timedelta | None,
        typer.Option(parser=parse_duration, metavar="TIME", show_default="7d", help="How long the topic keeps events."),
    ] = None,
    thrift_servers: Annotated[
        int | None, typer.Option(min=1, show_default="1", help="Doors to HBase; readers go on when one is shut.")
    ] = None,
    heap: Annotated[
        list[str] | None, typer.Option(metavar="PART=SIZE", help="For example hbase=2g; from the next start.")
    ] = None,
    json: _Json = False,
) -> None:
    """Start Kafka, HBase with Thrift and an S3 server on this machine, and wait until they work.

    They run in the background until `tallymark infra down`. What runs already is left as it is; options are kept for
    the next time. The servers come by Maven once.

    Example: `tallymark infra up --thrift-servers 2 --heap hbase=2g`
    """
    cluster = _cluster()
    cluster.up(
        partitions=partitions,
        retention=retention,
        thrift_servers=thrift_servers,
        heaps=_heaps(heap or []),
        say=(lambda _: None) if json else lambda line: say(f"✓ {line}"),
    )
    if json:
        typer.echo(msgspec.json.encode(_statuses(cluster)))
        return
    say(f"Kafka, HBase and S3 run, in {cluster.home.root}")
    say('  use    eval "$(tallymark infra env)"')
    say("  look   tallymark infra status")
    say("  stop   tallymark infra down")


def down(json: _Json = False) -> None:
    """Stop the servers. What they keep stays, for the next `tallymark infra up`.

    Example: `tallymark infra down`
    """
    cluster = _cluster()
    ended = cluster.down()
    if json:
        typer.echo(msgspec.json.encode({"stopped": ended}))
    else:
        say(f"stopped {', '.join(ended)}; what they keep is in {cluster.home.root}" if ended else "nothing ran")


def status(json: _Json = False) -> None:
    """Show each server: whether it answers, where, how long, and how much memory it takes.

    Ends with 0 when all answer, and with 3 when one does not.

    Example: `tallymark infra status --json | jq '.[] | select(.state != "ready")'`
    """
    found = _statuses(_cluster())
    if json:
        typer.echo(msgspec.json.encode(found))
    else:
        _show(found)
    if not found or any(server.state != "ready" for server in found):
        raise typer.Exit(_NOT_WELL)


def env(json: _Json = False) -> None:
    """Print the settings that point every command at these servers, the S3 keys among them.

    Example: `eval "$(tallymark infra env)" && tallymark up`
    """
    variables = _cluster().environment()
    if json:
        typer.echo(msgspec.json.encode(variables))
        return
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def logs(
    name: Annotated[str, typer.Argument(metavar="PART", help="As `tallymark infra status` names it.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Print the end of a server's log.

    Example: `tallymark infra logs hbase --follow`
    """
    cluster = _cluster()
    known = [server.name for server, _ in cluster.servers()]
    path = cluster.home.log(name)
    if name not in known or not path.is_file():
        raise ProcessError(f"there is no log of {name}; there may be of {', '.join(known) or 'nothing, before an up'}")
    command = ("tail", "-n", "200", *(("-F",) if follow else ()), str(path))
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def prepare(
    zookeeper: Annotated[
        str | None, typer.Option(metavar="HOST,…:PORT", help="HBase's ZooKeeper; tables are not made through Thrift.")
    ] = None,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of the topic.")] = 4,
    replication: Annotated[int, typer.Option(min=1, help="Copies of each partition.")] = 1,
    retention: Annotated[
        timedelta | None,
        typer.Option(parser=parse_duration, metavar="TIME", show_default="7d", help="How long the topic keeps events."),
    ] = None,
    regions: Annotated[int, typer.Option(min=1, max=REGIONS, help="Regions of a new table of cells.")] = REGIONS,
) -> None:
    """Make the topic, the tables and the bucket that the settings name, unless they exist.

    For Kafka, HBase and S3 that run elsewhere; `tallymark infra up` has done it for its own.

    Example: `tallymark infra prepare --zookeeper zk1,zk2,zk3:2181 --partitions 32 --replication 3`
    """
    settings = Settings.load(os.environ)
    if settings.store.startswith("hbase:") and zookeeper is None:
        raise ProcessError("tables are made by HBase's own client, which asks ZooKeeper: add --zookeeper HOST:PORT")
    if settings.log_is_kafka:
        from stream.log.kafka.admin import create_topic

        create_topic(settings, partitions=partitions, replication=replication, retention=retention or timedelta(days=7))
        say(f"✓ the topic of {settings.log}")
    if zookeeper is not None:
        home = Home(settings.home / "infra")
        home.prepare()
        prefix = settings.store.partition("?prefix=")[2]
        make_tables([prefix], environment_of(home), jars=jars("hbase"), zookeeper=zookeeper, regions=regions)
        say(f"✓ the tables of {settings.store}")
    if settings.raw.startswith("s3:"):
        make_bucket(urlsplit(settings.raw).netloc)
        say(f"✓ the bucket of {settings.raw}")


def _cluster() -> Cluster:
    return Cluster(Settings.load(os.environ).home)


def _statuses(cluster: Cluster) -> list[ServerStatus]:
    return [_status(server, process, str(cluster.home.log(server.name))) for server, process in cluster.servers()]


def _status(server: Server, process: psutil.Process | None, log: str) -> ServerStatus:
    trouble = None if process is None else server.probe()
    return ServerStatus(
        name=server.name,
        state="stopped" if process is None else "not answering" if trouble else "ready",
        address=f"{HOST}:{server.port}",
        pid=process.pid if process else None,
        uptime_s=time.time() - process.create_time() if process else None,
        memory_bytes=memory([process]) if process else None,
        trouble=trouble,
        log=log,
    )


def _heaps(words: list[str]) -> dict[str, str]:
    return {part: size for part, _, size in (word.partition("=") for word in words)}


def _show(found: list[ServerStatus]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not found:
        say("there has been no cluster here: `tallymark infra up` makes one")
        return
    table = Table("part", "state", "address", "pid", "up", "memory", box=None, padding=(0, 2, 0, 0))
    for server in found:
        table.add_row(
            server.name,
            server.state if server.state == "ready" else f"[yellow]{server.state}[/]",
            server.address,
            str(server.pid or "–"),
            "–" if server.uptime_s is None else ago(server.uptime_s),
            "–" if server.memory_bytes is None else megabytes(server.memory_bytes),
        )
    Console().print(table)
    for server in found:
        if server.trouble:
            say(f"{server.name}: {server.trouble}; its log is {server.log}")
