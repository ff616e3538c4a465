"""The smallest question in each server's own protocol. Each returns what is wrong, None when the answer was right.

Kafka and Thrift are asked in a few bytes over a socket: their clients would first retry, and then write about it.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from infra.cluster.addresses import HOST

__all__ = ["probe_kafka", "probe_port", "probe_s3", "probe_thrift"]

_ANSWERS_WITHIN: Final = 3.0
_METADATA: Final = 3
_LIST: Final = 15
_REPLY: Final = 0x80010002


def probe_port(port: int) -> str | None:
    try:
        socket.create_connection((HOST, port), timeout=_ANSWERS_WITHIN).close()
    except OSError as error:
        return f"port {port}: {error.strerror or error}"
    return None


def probe_kafka(port: int) -> str | None:
    """Metadata, version 1, of no topics. The brokers that it lists take part; one that has just come may not yet.

    size (4) | api 3 (2) | version 1 (2) | correlation id (4) | client id, a string | topics, an empty array (4)
    """
    body = struct.pack(">hhih9si", _METADATA, 1, 1, 9, b"tallymark", 0)
    try:
        with socket.create_connection((HOST, port), timeout=_ANSWERS_WITHIN) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", _receive(connection, 4))
            _, brokers = struct.unpack(">ii", _receive(connection, size)[:8])
    except (OSError, struct.error) as error:
        return f"port {port}: {error}"
    return None if brokers else f"port {port}: the broker has not joined the cluster yet"


def probe_thrift(port: int) -> str | None:
    """getTableNames() in the binary protocol, without frames: it needs the master to be there.

    version and kind (4) | name, a string | sequence (4) | arguments, an empty structure (1)
    """
    name = b"getTableNames"
    try:
        with socket.create_connection((HOST, port), timeout=_ANSWERS_WITHIN) as connection:
            connection.sendall(struct.pack(f">Ii{len(name)}siB", 0x80010001, len(name), name, 0, 0))
            kind, _, _, _, field = struct.unpack(f">Ii{len(name)}siB", _receive(connection, 12 + len(name) + 1))
    except (OSError, struct.error) as error:
        return f"port {port}: {error}"
    return None if (kind, field) == (_REPLY, _LIST) else f"port {port}: HBase does not answer the Thrift server"


def probe_s3(endpoint: str, key: str, secret: str) -> str | None:
    """ListBuckets, signed: so the keys are right as well."""
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.cluster.bucket import s3_client

    try:
        s3_client(endpoint, key, secret).list_buckets()
    except (BotoCoreError, ClientError) as error:
        return f"{endpoint}: {error}"
    return None


def _receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes. Raises OSError when the other side hangs up first."""
    parts = b""
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionError("the server hung up")
        parts += part
    return parts
