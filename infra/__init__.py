"""Everything that runs around the layers, by the command `tallymark` or on its own.

    host      what is on this machine: homes, ports, Java, processes, programs with a time limit
    system    `up`, `down`, `status`, `doctor`: the processes of Tallymark and their supervisor
    cluster   `infra …`: Kafka, HBase and an S3 server on one machine, for the cluster mode without a cluster
    canary    sends events through the public path, and sees that they are counted
    demo      a year of real events through a system of its own
    airflow   a small Airflow with the DAGs

The layers know nothing of this package: what it starts is pointed at by settings.
"""

from __future__ import annotations

__all__ = ["airflow", "canary", "cluster", "demo", "system"]
