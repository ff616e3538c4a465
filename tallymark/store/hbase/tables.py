"""The three tables of a view store, and whether they are what this Tallymark needs. Thrift cannot make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tallymark.cells import SHARDS
from tallymark.errors import IncompatibleStore
from tallymark.store import View
from tallymark.store.hbase.connection import Connection
from tallymark.store.hbase.layout import FAMILIES, VERSIONS

__all__ = ["LAYOUT", "Tables", "verify"]

LAYOUT: Final = f"layout 3, {SHARDS} shards".encode()


class Tables(NamedTuple):
    """Their names."""

    speed: bytes
    batch: bytes
    meta: bytes

    @classmethod
    def of(cls, prefix: str) -> Tables:
        return cls(*(f"{prefix}{name}".encode() for name in cls._fields))

    def holding(self, view: View) -> bytes:
        return self.batch if view is View.BATCH else self.speed


def verify(connection: Connection, tables: Tables) -> None:
    """Raises IncompatibleStore when a table is missing, or was made with other settings."""
    for kind, table in zip(Tables._fields, tables, strict=True):
        found = _families(connection, table)
        wanted = dict.fromkeys(FAMILIES[kind], VERSIONS[kind])
        if found is None:
            raise IncompatibleStore(f"HBase has no table {table.decode()}; {_remedy(kind, table)}")
        if found != found | wanted:
            raise IncompatibleStore(
                f"the HBase table {table.decode()} has {_shown(found)}, this Tallymark needs {_shown(wanted)}; "
                f"name other tables by ?prefix= in TALLYMARK_STORE, or {_remedy(kind, table)}"
            )


def _families(connection: Connection, table: bytes) -> dict[bytes, int] | None:
    try:
        return connection.families(table)
    except IncompatibleStore:
        return None


def _shown(families: Mapping[bytes, int]) -> str:
    return ", ".join(f"family {name.decode()} with {n} versions" for name, n in families.items()) or "no family"


def _remedy(kind: str, table: bytes) -> str:
    splits = "" if kind == "meta" else f", SPLITS => (1..{SHARDS - 1}).map {{ |shard| [shard].pack('C') }}"
    families = ", ".join(f"{{NAME => '{name.decode()}', VERSIONS => {VERSIONS[kind]}}}" for name in FAMILIES[kind])
    return (
        f"make it by `tallymark infra up` or, in the shell of a managed HBase: "
        f"create '{table.decode()}', {families}{splits}"
    )
