"""`tallymark infra …`: real servers on this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
from datetime import timedelta
from typing import Annotated, Final

import msgspec
import typer

from infra.cluster.cluster import Cluster
from infra.cluster.report import PartReport, report
from tallymark.cli.terminal import ago, megabytes, say
from tallymark.errors import ProcessError
from tallymark.settings import Settings, parse_duration

__all__ = ["down", "env", "logs", "status", "up"]

_NOT_WELL: Final = 3

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


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
        typer.echo(msgspec.json.encode(report(cluster)))
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
    found = report(_cluster())
    if json:
        typer.echo(msgspec.json.encode(found))
    else:
        _show(found)
    if not found or any(part.state != "ready" for part in found):
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
    known = [part.name for part, _ in cluster.parts()]
    path = cluster.home.log(name)
    if name not in known or not path.is_file():
        raise ProcessError(f"there is no log of {name}; there may be of {', '.join(known) or 'nothing, before an up'}")
    command = ("tail", "-n", "200", *(("-F",) if follow else ()), str(path))
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def _cluster() -> Cluster:
    return Cluster(Settings.load(os.environ).home)


def _heaps(words: list[str]) -> dict[str, str]:
    return {part: size for part, _, size in (word.partition("=") for word in words)}


def _show(found: list[PartReport]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not found:
        say("there has been no cluster here: `tallymark infra up` makes one")
        return
    table = Table("part", "state", "address", "pid", "up", "memory", box=None, padding=(0, 2, 0, 0))
    for part in found:
        table.add_row(
            part.name,
            part.state if part.state == "ready" else f"[yellow]{part.state}[/]",
            part.address,
            str(part.pid or "–"),
            "–" if part.uptime_s is None else ago(part.uptime_s),
            "–" if part.memory_bytes is None else megabytes(part.memory_bytes),
        )
    Console().print(table)
    for part in found:
        if part.trouble:
            say(f"{part.name}: {part.trouble}; its log is {part.log}")
