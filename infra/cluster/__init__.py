"""Kafka, HBase and an S3 server on one machine: `tallymark infra up` (ADR 29).

    commands ─▶ cluster ─┬─▶ config, addresses    what is to run, and where it listens
                         ├─▶ servers: kafka, hbase, s3proxy    each a `Server`: files, command, probe
                         ├─▶ launch ─▶ host.process    servers started side by side, in sessions of their own
                         └─▶ provision ─▶ tables, bucket    what Tallymark keeps on them

Everything listens on loopback and lies in `<home>/infra`. The layers know nothing of it: it only prints the settings
that point them at its servers.
"""

from __future__ import annotations

from infra.cluster.cluster import Cluster
from infra.cluster.config import Names

__all__ = ["Cluster", "Names"]
