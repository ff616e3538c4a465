"""The tables of a view store. Making them again changes nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from infra.hbase import FLAGS, client_site, xml
from infra.launch import Site
from infra.part import jvm
from tallymark.cells import SHARDS
from tallymark.errors import IncompatibleStore, ProcessError

__all__ = ["REGIONS", "make_tables"]

REGIONS: Final = SHARDS
_FAMILY: Final = "c"
_CODECS: Final = "SNAPPY,ZSTD,GZ"  # the first that works; what is put every second should be quick to compress
_PROGRAM: Final = Path(__file__).with_name("java") / "CreateTables.java"
_MADE_WITHIN: Final = 180.0
_DIFFERS: Final = 3


def make_tables(prefixes: Iterable[str], at: Site, *, jars: Path, zookeeper: int, regions: int = REGIONS) -> None:
    """The tables of each prefix: cells split by shard, 64 versions of a batch cell, documents in one region.

    Raises IncompatibleStore when tables are there that were made otherwise, ProcessError when HBase does not answer.
    """
    config = at.home.root / "tables"
    config.mkdir(parents=True, exist_ok=True)
    (config / "hbase-site.xml").write_text(xml(client_site(zookeeper)))
    tables = [
        f"{prefix}{table}" for prefix in prefixes for table in (f"speed:1:{regions}", f"batch:64:{regions}", "meta:1:1")
    ]
    flags = (*FLAGS, "-XX:TieredStopAtLevel=1")
    done = subprocess.run(
        (
            at.java,
            *jvm(jars, heap="128m", config=config, flags=flags),
            _PROGRAM,
            _FAMILY,
            str(SHARDS),
            _CODECS,
            *tables,
        ),
        env=at.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_MADE_WITHIN,
        check=False,
    )
    if done.returncode == _DIFFERS:
        found = [line for line in done.stderr.splitlines() if line.startswith("differs: ")]
        raise IncompatibleStore(
            "tables of that name were made otherwise; use another prefix, or drop them:\n"
            + "\n".join(f"  - {line.removeprefix('differs: ')}" for line in found)
        )
    if done.returncode:
        raise ProcessError(f"the tables could not be made:\n{done.stderr[-3000:]}")
