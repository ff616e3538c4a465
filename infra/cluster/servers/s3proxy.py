"""An S3 server over a folder, with keys of its own that are drawn once."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec

from infra.cluster.addresses import HOST
from infra.cluster.probes import probe_s3
from infra.cluster.servers.server import Server, jvm

__all__ = ["Keys", "keys_in", "s3proxy"]

_LOGGING = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{ISO8601} %level %logger{0}: %msg%n</pattern></encoder>
  </appender>
  <root level="warn"><appender-ref ref="out" /></root>
</configuration>
"""


class Keys(msgspec.Struct, frozen=True):
    id: str
    secret: str


def s3proxy(folder: Path, jars: Path, *, port: int, heap: str) -> Server:
    keys = keys_in(folder)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    properties = f"""\
s3proxy.endpoint = http://{HOST}:{port}
s3proxy.authorization = aws-v2-or-v4
s3proxy.identity = {keys.id}
s3proxy.credential = {keys.secret}
s3proxy.ignore-unknown-headers = true
s3proxy.v4-max-non-chunked-request-size = 67108864
jclouds.provider = filesystem-nio2
jclouds.identity = unused
jclouds.credential = unused
jclouds.filesystem.basedir = {data}
"""
    base = jvm(jars, heap=heap, flags=(f"-Dlogback.configurationFile={folder / 'logback.xml'}",))
    return Server(
        name="s3",
        port=port,
        listens={"s3": port},
        folder=folder,
        files={"s3proxy.properties": properties, "logback.xml": _LOGGING},
        arguments=(*base, "org.gaul.s3proxy.Main", "--properties", str(folder / "s3proxy.properties")),
        probe=lambda: probe_s3(f"http://{HOST}:{port}", keys.id, keys.secret),
    )


def keys_in(folder: Path) -> Keys:
    """The keys of the server in `folder`, drawn when there are none. Only its owner can read them."""
    path = folder / "keys.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Keys)
    keys = Keys(secrets.token_hex(10).upper(), secrets.token_urlsafe(30))
    folder.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
        file.write(msgspec.json.encode(keys))
    return keys
