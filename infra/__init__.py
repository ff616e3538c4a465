"""Kafka, HBase and an S3 server on one machine, for the cluster mode without a cluster: `tallymark infra up`.

    commands ─▶ cluster ─┬─▶ shape, ports    what is to run, and where it listens
                         ├─▶ kafka, hbase, thrift, s3proxy    each server as a `Part`: files, command, probe
                         ├─▶ launch ─▶ process    parts started side by side, in sessions of their own
                         └─▶ contents ─▶ tables, bucket    what Tallymark keeps on them

Everything listens on loopback and lies in `<home>/infra`. The layers know nothing of this package: it only prints the
settings that point them at its servers.
"""
