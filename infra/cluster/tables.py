"""The tables of a view store. Making them again changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from infra.cluster.environment import Environment, run_java
from infra.cluster.servers.hbase import FLAGS, client_site, xml
from infra.cluster.servers.server import jvm
from tallymark.cells import SHARDS
from tallymark.errors import IncompatibleStore, ProcessError
from tallymark.store.hbase.layout import FAMILIES, VERSIONS

__all__ = ["REGIONS", "make_tables"]

REGIONS: Final = SHARDS
_CODECS: Final = "SNAPPY,ZSTD,GZ"  # the first that works; what is put every second should be quick to compress
_PROGRAM: Final = Path(__file__).with_name("java") / "CreateTables.java"
_MADE_WITHIN: Final = 180.0
_DIFFERS: Final = 3


def make_tables(
    prefixes: Iterable[str], environment: Environment, *, jars: Path, zookeeper: str, regions: int = REGIONS
) -> None:
    """The tables of each prefix: cells split by shard into `regions`, documents in one region.

    `zookeeper` as host:port, or host,host:port. Raises IncompatibleStore when tables are there that were made
    otherwise, ProcessError when HBase does not answer.
    """
    config = environment.home.root / "tables"
    config.mkdir(parents=True, exist_ok=True)
    (config / "hbase-site.xml").write_text(xml(client_site(zookeeper)))
    tables = [
        f"{prefix}{name}:{versions}:{1 if name == 'meta' else regions}:{b','.join(FAMILIES[name]).decode()}"
        for prefix in prefixes
        for name, versions in VERSIONS.items()
    ]
    jvm_arguments = jvm(jars, heap="128m", config=config, flags=(*FLAGS, "-XX:TieredStopAtLevel=1"))
    done = run_java((*jvm_arguments, str(_PROGRAM), str(SHARDS), _CODECS, *tables), environment, within=_MADE_WITHIN)
    if done.returncode == _DIFFERS:
        found = [line for line in done.stderr.splitlines() if line.startswith("differs: ")]
        raise IncompatibleStore(
            "tables of that name were made otherwise; use another prefix, or drop them:\n"
            + "\n".join(f"  - {line.removeprefix('differs: ')}" for line in found)
        )
    if done.returncode:
        raise ProcessError(f"the tables could not be made:\n{done.stderr[-3000:]}")
