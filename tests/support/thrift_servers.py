"""Thrift servers on loopback that speak HBase's interface and know one call: for what real ones do too seldom."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import Any

import happybase  # noqa: F401 - loads the interface
import Hbase_thrift
from thriftpy2.protocol import TBinaryProtocol
from thriftpy2.thrift import TProcessor
from thriftpy2.transport import TBufferedTransport, TSocket

from tallymark.settings import Address

LONG = 20.0  # seconds that a server which hangs waits for the test to end


class Mood(Enum):
    ANSWERS = auto()
    HANGS = auto()
    HANGS_UP = auto()
    REFUSES = auto()
    KNOWS_NO_TABLE = auto()


class HangsUp(Exception):
    pass


class ThriftServer:
    """Answers getColumnDescriptors with a family named after itself, in whatever `mood` the test puts it."""

    def __init__(self, name: str = "c") -> None:
        self.mood = Mood.ANSWERS
        self.calls = 0
        self._name = name
        self._over = threading.Event()
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def getColumnDescriptors(self, table: bytes) -> dict[bytes, Any]:  # noqa: N802 (HBase's name)
        self.calls += 1
        if self.mood is Mood.HANGS:
            self._over.wait(LONG)
        if self.mood is Mood.HANGS_UP:
            raise HangsUp
        if self.mood is Mood.REFUSES:
            raise Hbase_thrift.IOError(message="java.io.IOException: no region\n\tat org.apache…")
        if self.mood is Mood.KNOWS_NO_TABLE:
            raise Hbase_thrift.IOError(message=f"org.apache.hadoop.hbase.TableNotFoundException: {table.decode()}")
        return {f"{self._name}:".encode(): Hbase_thrift.ColumnDescriptor(name=b"c:", maxVersions=7)}

    def drop_connections(self) -> None:
        """As a server does that finds them idle for too long."""
        connections, self._connections = self._connections, []
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        protocol = TBinaryProtocol(TBufferedTransport(TSocket(sock=connection)), decode_response=False)
        processor = TProcessor(Hbase_thrift.Hbase, self)
        with connection, suppress(Exception):
            while True:
                processor.process(protocol, protocol)


@contextmanager
def thrift_servers(*names: str) -> Iterator[list[ThriftServer]]:
    servers = [ThriftServer(name) for name in names]
    try:
        yield servers
    finally:
        for server in servers:
            server.stop()
