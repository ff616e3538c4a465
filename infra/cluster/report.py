"""What `tallymark infra status` tells of each part."""

from __future__ import annotations

import time

import msgspec
import psutil

from infra.cluster.addresses import HOST
from infra.cluster.cluster import Cluster
from infra.cluster.part import Part
from infra.host.sessions import memory

__all__ = ["PartReport", "report"]


class PartReport(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: ready, not answering, or stopped; `trouble` says more."""

    name: str
    state: str
    address: str
    pid: int | None
    uptime_s: float | None
    memory_bytes: int | None
    trouble: str | None
    log: str


def report(cluster: Cluster) -> list[PartReport]:
    return [_report(part, process, str(cluster.home.log(part.name))) for part, process in cluster.parts()]


def _report(part: Part, process: psutil.Process | None, log: str) -> PartReport:
    trouble = None if process is None else part.trouble()
    return PartReport(
        name=part.name,
        state="stopped" if process is None else "not answering" if trouble else "ready",
        address=f"{HOST}:{part.port}",
        pid=process.pid if process else None,
        uptime_s=time.time() - process.create_time() if process else None,
        memory_bytes=memory([process]) if process else None,
        trouble=trouble,
        log=log,
    )
