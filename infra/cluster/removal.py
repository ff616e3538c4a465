"""What `contents.make` made, taken away with all that is kept in it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from infra.cluster.addresses import HOST
from infra.cluster.bucket import remove_bucket, s3_client
from infra.cluster.contents import endpoint, log
from infra.cluster.s3proxy import keys_in
from infra.cluster.shape import Names, Shape
from tallymark.errors import ProcessError
from tallymark.settings import Settings
from tallymark.store.hbase.layout import VERSIONS

__all__ = ["drop"]


def drop(names: Names, shape: Shape, root: Path) -> None:
    """The topic, the tables and the bucket; what does not exist is none the less gone. Raises as `make` does."""
    with ThreadPoolExecutor() as pool:
        dropped = [
            pool.submit(_drop_topic, names, shape, root),
            *(pool.submit(_drop_table, f"{names.prefix}{name}", shape) for name in VERSIONS),
            pool.submit(_drop_bucket, names, shape, root),
        ]
    for each in dropped:
        each.result()


def _drop_topic(names: Names, shape: Shape, root: Path) -> None:
    delete_topic = import_module("stream.log.kafka.admin").delete_topic  # by name, as `make` does
    delete_topic(Settings(home=root, log=log(shape, names)))


def _drop_table(table: str, shape: Shape) -> None:
    import happybase
    from Hbase_thrift import IOError as Refused

    connection = happybase.Connection(HOST, shape.ports["thrift"], timeout=60_000)
    try:
        if table.encode() in connection.tables():
            connection.delete_table(table, disable=True)
    except Refused as error:
        raise ProcessError(f"HBase did not drop the table {table}: {error.message}") from error
    finally:
        connection.close()


def _drop_bucket(names: Names, shape: Shape, root: Path) -> None:
    keys = keys_in(root / "s3")
    remove_bucket(names.bucket, s3_client(endpoint(shape), keys.id, keys.secret))
