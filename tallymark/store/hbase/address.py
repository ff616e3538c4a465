"""Where a view store in HBase lies, and which of its Thrift servers answer now, each asked by itself."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, Protocol, Self, runtime_checkable
from urllib.parse import parse_qs, urlsplit

from tallymark.errors import IncompatibleStore
from tallymark.settings import Address
from tallymark.store.hbase.connection import Broken, Connection, Refused
from tallymark.store.hbase.endpoint import Endpoint, PoolSettings
from tallymark.store.hbase.layout import NUMBERS
from tallymark.store.hbase.pool import PoolState
from tallymark.store.hbase.tables import Tables

__all__ = ["HBaseAddress", "HasEndpoints", "ask_each"]

_WITHIN: Final = 2.0


@runtime_checkable
class HasEndpoints(Protocol):
    """A view store behind several servers, of which one may fail while the others answer."""

    @property
    def state(self) -> PoolState: ...


class HBaseAddress(NamedTuple):
    servers: list[Address]
    prefix: str

    @classmethod
    def of(cls, url: str) -> Self:
        """`url`: hbase://host:port,host:port?prefix=tallymark_"""
        parts = urlsplit(url)
        hosts = (each.rpartition(":") for each in parts.netloc.split(","))
        (prefix,) = parse_qs(parts.query, keep_blank_values=True).get("prefix", ["tallymark_"])
        return cls([Address(host, int(port)) for host, _, port in hosts], prefix)


def ask_each(place: HBaseAddress) -> dict[str, str | None]:
    """By server, as host:port, what is wrong with it; None where it answers. Takes four seconds at most."""
    table = Tables.of(place.prefix).meta
    with ThreadPoolExecutor(len(place.servers)) as pool:
        told = pool.map(lambda server: _trouble(server, table), place.servers)
        return {f"{host}:{port}": trouble for (host, port), trouble in zip(place.servers, told, strict=True)}


def _trouble(address: Address, table: bytes) -> str | None:
    """A Thrift server takes connections while HBase is away, so it is asked for what HBase has to say."""
    server = Endpoint(address, PoolSettings(), dial=Connection, clock=time.monotonic)
    server.enter()
    try:
        server.answer(lambda connection: connection.rows(table, [b"publication"], families=[NUMBERS]), within=_WITHIN)
    except (Broken, Refused, IncompatibleStore) as error:
        return str(error)
    finally:
        server.close()
    return None
