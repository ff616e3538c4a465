"""What Tallymark keeps on the servers (a topic, tables and a bucket), made and taken away; and the settings for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from infra.cluster.addresses import HOST
from infra.cluster.bucket import REGION, make_bucket, remove_bucket, s3_client
from infra.cluster.config import ClusterConfig, Names
from infra.cluster.environment import Environment
from infra.cluster.jars import jar_folder
from infra.cluster.servers.s3proxy import keys_in
from infra.cluster.tables import REGIONS, make_tables
from tallymark.errors import ProcessError
from tallymark.settings import Settings
from tallymark.store.hbase.layout import VERSIONS

__all__ = ["drop", "make", "makers", "variables"]

_AT_ONCE: Final = 4


def makers(config: ClusterConfig, environment: Environment, names: Names) -> dict[str, Callable[[], None]]:
    """What is to be made on each server, by its name, once it is ready. Making it again changes nothing."""
    root = environment.home.root
    return {
        "kafka": lambda: _make_topic(config, root, names),
        "hbase": lambda: _make_tables([names], config, environment, REGIONS),
        "s3": lambda: _make_bucket(config, root, names),
    }


def make(names: Sequence[Names], config: ClusterConfig, environment: Environment, *, regions: int) -> None:
    """All of it for each of `names`, side by side; all tables by one program."""
    root = environment.home.root
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        made = [pool.submit(_make_tables, names, config, environment, regions)]
        made += [pool.submit(_make_topic, config, root, each) for each in names]
        made += [pool.submit(_make_bucket, config, root, each) for each in names]
        for each in made:
            each.result()


def drop(names: Names, config: ClusterConfig, root: Path) -> None:
    """The topic, the tables and the bucket with all that is kept in them; what does not exist is none the less gone.
    Raises as `make` does."""
    with ThreadPoolExecutor() as pool:
        dropped = [
            pool.submit(_drop_topic, config, root, names),
            *(pool.submit(_drop_table, config, f"{names.prefix}{name}") for name in VERSIONS),
            pool.submit(remove_bucket, names.bucket, _s3(config, root)),
        ]
    for each in dropped:
        each.result()


def variables(config: ClusterConfig, root: Path, names: Names) -> dict[str, str]:
    """TALLYMARK_* and AWS_*, which hold the S3 keys."""
    thrift = ",".join(f"{HOST}:{config.ports[name]}" for name in config.thrift_names)
    keys = keys_in(root / "s3")
    return {
        "TALLYMARK_LOG": _log(config, names),
        "TALLYMARK_STORE": f"hbase://{thrift}?prefix={names.prefix}",
        "TALLYMARK_RAW": f"s3://{names.bucket}/raw",
        "TALLYMARK_SPARK_JARS": str(jar_folder("spark-kafka")),
        "AWS_ENDPOINT_URL": _endpoint(config),
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": keys.id,
        "AWS_SECRET_ACCESS_KEY": keys.secret,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_CONDITIONAL_PUT": "etag",
    }


def _make_topic(config: ClusterConfig, root: Path, names: Names) -> None:
    from stream.log.kafka.admin import create_topic

    settings = Settings(home=root, log=_log(config, names))
    create_topic(settings, partitions=config.partitions, retention=config.retention)


def _make_tables(names: Sequence[Names], config: ClusterConfig, environment: Environment, regions: int) -> None:
    prefixes = [each.prefix for each in names]
    zookeeper = f"{HOST}:{config.ports['zookeeper']}"
    make_tables(prefixes, environment, jars=jar_folder("hbase"), zookeeper=zookeeper, regions=regions)


def _make_bucket(config: ClusterConfig, root: Path, names: Names) -> None:
    make_bucket(names.bucket, _s3(config, root))


def _drop_topic(config: ClusterConfig, root: Path, names: Names) -> None:
    from stream.log.kafka.admin import delete_topic

    delete_topic(Settings(home=root, log=_log(config, names)))


def _drop_table(config: ClusterConfig, table: str) -> None:
    import happybase
    from Hbase_thrift import IOError as Refused

    connection = happybase.Connection(HOST, config.ports["thrift"], timeout=60_000)
    try:
        if table.encode() in connection.tables():
            connection.delete_table(table, disable=True)
    except Refused as error:
        raise ProcessError(f"HBase did not drop the table {table}: {error.message}") from error
    finally:
        connection.close()


def _s3(config: ClusterConfig, root: Path) -> Any:
    keys = keys_in(root / "s3")
    return s3_client(_endpoint(config), keys.id, keys.secret)


def _log(config: ClusterConfig, names: Names) -> str:
    """The setting `log`."""
    return f"kafka://{HOST}:{config.ports['kafka']}/{names.topic}"


def _endpoint(config: ClusterConfig) -> str:
    """Where S3 is."""
    return f"http://{HOST}:{config.ports['s3']}"
