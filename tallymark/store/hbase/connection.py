"""One connection to one HBase Thrift server, in the few calls that a view store makes.

The only module that imports happybase and thriftpy2, and only when a connection is made: the kernel stays light.
happybase brings the interface of the server; the socket is ours, since a connection and an answer need time-outs of
their own, and a put one other than a read.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from tallymark.errors import IncompatibleStore
from tallymark.settings import Address

__all__ = ["Broken", "Connection", "Page", "Refused", "Row"]

Row = tuple[bytes, dict[bytes, bytes]]  # (row key, column → value)
_BUFFER: Final = 64 * 1024  # bytes at a time from and to the socket; the default of 4 KiB is one system call a sketch
_WRONG: Final = ("TableNotFoundException", "NoSuchColumnFamilyException")


class Broken(Exception):
    """The connection is of no use any more. `timed_out`: the server did not answer, but may do what it was told."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


class Refused(Exception):
    """The server answered that it could not do it; the connection is still good."""


class Page(NamedTuple):
    """A stretch of a table: up to `most` rows in [start, stop), with cells of `families` older than `before`."""

    start: bytes
    stop: bytes
    most: int
    families: Sequence[bytes]
    before: int | None = None
    filter: bytes | None = None


class Connection:
    """A connection, for one thread at a time. Methods raise Broken, Refused or IncompatibleStore.

    `broken`: of no use any more, whatever it was that broke off a call.
    """

    def __init__(self, address: Address, *, connect_within: float) -> None:
        import happybase  # noqa: F401 - it loads the interface that the next line imports
        import Hbase_thrift
        from thriftpy2.protocol import TCyBinaryProtocol
        from thriftpy2.protocol.cybin import ProtocolError
        from thriftpy2.thrift import TClient, TException
        from thriftpy2.transport import TCyBufferedTransport, TSocket

        self.broken = False
        self._types = Hbase_thrift
        self._refusals = (Hbase_thrift.IOError, Hbase_thrift.IllegalArgument)
        self._failures = (OSError, TException, ProtocolError, UnicodeDecodeError)
        try:
            self._socket = socket.create_connection(address, timeout=connect_within)
        except OSError as error:
            raise Broken(f"no connection: {error}", timed_out=isinstance(error, TimeoutError)) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        transport = TCyBufferedTransport(TSocket(sock=self._socket), _BUFFER)
        self._client = TClient(Hbase_thrift.Hbase, TCyBinaryProtocol(transport, decode_response=False))

    def answer_within(self, seconds: float) -> None:
        """How long the server may be silent in the calls that follow."""
        self._socket.settimeout(seconds)

    def rows(
        self, table: bytes, keys: Sequence[bytes], *, families: Sequence[bytes], before: int | None = None
    ) -> list[Row]:
        """Those of the rows that have cells in `families`, older than timestamp `before`, in one round trip.

        One row is asked for by itself: the server answers that in half the time of a multi-get.
        """
        one = len(keys) == 1
        with self._explained():
            if before is None:
                get = self._client.getRowWithColumns if one else self._client.getRowsWithColumns
                found = get(table, keys[0] if one else keys, families, {})
            else:
                get = self._client.getRowWithColumnsTs if one else self._client.getRowsWithColumnsTs
                found = get(table, keys[0] if one else keys, families, before, {})
        return _plain(found)

    def page(self, table: bytes, page: Page) -> list[Row]:
        """The rows of the page in order. It leaves nothing open on the server: any other server can read the next."""
        scan = self._types.TScan(
            startRow=page.start,
            stopRow=page.stop,
            timestamp=page.before,
            columns=page.families,
            caching=page.most,
            filterString=page.filter,
        )
        with self._explained():
            scanner = self._client.scannerOpenWithScan(table, scan, {})
            found = self._client.scannerGetList(scanner, page.most)
            self._client.scannerClose(scanner)
        return _plain(found)

    def put(self, table: bytes, rows: Mapping[bytes, Mapping[bytes, bytes]], *, timestamp: int) -> None:
        """Store the cells at `timestamp`. They are in the write-ahead log when it returns."""
        mutation, of_row = self._types.Mutation, self._types.BatchMutation
        batch = [
            of_row(row, [mutation(False, column, value, True) for column, value in columns.items()])
            for row, columns in rows.items()
        ]
        with self._explained():
            self._client.mutateRowsTs(table, batch, timestamp, {})

    def remove(self, table: bytes, rows: Sequence[bytes], *, families: Sequence[bytes]) -> None:
        """Remove whole rows, as they are now by the server's clock: cells of a lower timestamp stay hidden for long."""
        mutation, of_row = self._types.Mutation, self._types.BatchMutation
        # a column without a qualifier is its whole family
        batch = [of_row(row, [mutation(True, family, None, True) for family in families]) for row in rows]
        with self._explained():
            self._client.mutateRows(table, batch, {})

    def swap(self, table: bytes, row: bytes, column: bytes, *, expected: bytes | None, value: bytes) -> bool:
        """Put the cell, at the server's time, if it still is `expected`; None: if it does not exist."""
        change = self._types.Mutation(False, column, value, True)
        with self._explained():
            return bool(self._client.checkAndPut(table, row, column, expected, change, {}))

    def families(self, table: bytes) -> dict[bytes, int]:
        """Versions kept, by column family. Raises IncompatibleStore when there is no such table."""
        with self._explained():
            found = self._client.getColumnDescriptors(table)
        return {name.rstrip(b":"): family.maxVersions for name, family in found.items()}

    def close(self) -> None:
        self._socket.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        self.broken = True
        try:
            yield
        except self._refusals as error:
            self.broken = False
            raise _refusal(error) from error
        except self._failures as error:
            timed_out = isinstance(error, TimeoutError)
            raise Broken("no answer in time" if timed_out else f"{error}", timed_out=timed_out) from error
        self.broken = False


def _plain(found: Sequence[Any]) -> list[Row]:
    return [(row.row, {column: cell.value for column, cell in row.columns.items()}) for row in found]


def _refusal(error: Any) -> Exception:
    """The server sends a whole Java stack trace; its first line says what is wrong."""
    message = error.message.decode(errors="replace") if isinstance(error.message, bytes) else str(error.message)
    first = message.strip().partition("\n")[0]
    return IncompatibleStore(first) if any(name in message for name in _WRONG) else Refused(first)
