"""What a cluster on this machine is made of, kept in `<home>/infra/cluster.json`, so that it comes up as it was."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from infra.cluster.addresses import USUAL
from tallymark.errors import ProcessError

__all__ = ["HEAPS", "OURS", "ClusterConfig", "Names", "read_config"]

HEAPS: Final = {"kafka": "512m", "hbase": "1g", "thrift": "256m", "s3": "256m"}
_HEAP: Final = re.compile(r"\d+[kmg]", re.IGNORECASE)
_FILE: Final = "cluster.json"


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What Tallymark's data is called on the servers; several systems can share them under different names."""

    topic: str = "tallymark"
    prefix: str = "tallymark_"
    bucket: str = "tallymark"


OURS: Final = Names()


class ClusterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`heaps` are those that differ from HEAPS, in the JVM's words; `partitions` and `retention` are the topic's."""

    ports: dict[str, int] = {}
    heaps: dict[str, str] = {}
    thrift_servers: int = 1
    partitions: int = 4
    retention: timedelta = timedelta(days=7)

    def __post_init__(self) -> None:
        """Raises ProcessError for what no server could run with."""
        for part, heap in self.heaps.items():
            if part not in HEAPS or not _HEAP.fullmatch(heap):
                raise ProcessError(
                    f"{part}={heap} is no heap: write one of {', '.join(HEAPS)} and a size, for example hbase=2g"
                )
        if self.thrift_servers < 1 or self.partitions < 1 or self.retention < timedelta(minutes=1):
            raise ProcessError("there must be a Thrift server, a partition, and a minute of retention, at least")

    @property
    def thrift_names(self) -> list[str]:
        return ["thrift", *(f"thrift-{n}" for n in range(2, self.thrift_servers + 1))]

    @property
    def port_names(self) -> list[str]:
        return [*USUAL, *self.thrift_names[1:]]

    def heap(self, part: str) -> str:
        return self.heaps.get(part, HEAPS[part])

    def write(self, root: Path) -> None:
        """Readers see the configuration before or this one, never half of it."""
        scratch = root / f"{_FILE}.new"
        scratch.write_bytes(msgspec.json.format(msgspec.json.encode(self)))
        scratch.replace(root / _FILE)


def read_config(root: Path) -> ClusterConfig | None:
    """That of the cluster in `root`; None when there has been none. Raises ProcessError when it is damaged."""
    try:
        return msgspec.json.decode((root / _FILE).read_bytes(), type=ClusterConfig)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.DecodeError as error:
        raise ProcessError(f"{root / _FILE} is damaged ({error}); mend or remove it") from error
