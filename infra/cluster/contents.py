"""What Tallymark keeps on the servers: a topic, tables and a bucket; and the settings that name them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Final

from infra.cluster.addresses import HOST
from infra.cluster.bucket import REGION, make_bucket, s3_client
from infra.cluster.jars import place
from infra.cluster.s3proxy import keys_in
from infra.cluster.shape import Names, Shape
from infra.cluster.site import Site
from infra.cluster.tables import REGIONS, make_tables
from tallymark.settings import Settings

__all__ = ["endpoint", "log", "make", "makers", "variables"]

_AT_ONCE: Final = 4


def makers(shape: Shape, at: Site, names: Names) -> dict[str, Callable[[], None]]:
    """What is to be made on each part, by its name, once it is ready. Making it again changes nothing."""
    root = at.home.root
    return {
        "kafka": lambda: _make_topic(shape, root, names),
        "hbase": lambda: _make_tables([names], shape, at, REGIONS),
        "s3": lambda: _make_bucket(shape, root, names),
    }


def make(names: Sequence[Names], shape: Shape, at: Site, *, regions: int) -> None:
    """All of it for each of `names`, side by side; all tables by one program."""
    root = at.home.root
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        made = [pool.submit(_make_tables, names, shape, at, regions)]
        made += [pool.submit(_make_topic, shape, root, each) for each in names]
        made += [pool.submit(_make_bucket, shape, root, each) for each in names]
        for each in made:
            each.result()


def variables(shape: Shape, root: Path, names: Names) -> dict[str, str]:
    """TALLYMARK_* and AWS_*, which hold the S3 keys."""
    thrift = ",".join(f"{HOST}:{shape.ports[name]}" for name in shape.thrift_names)
    keys = keys_in(root / "s3")
    return {
        "TALLYMARK_LOG": log(shape, names),
        "TALLYMARK_STORE": f"hbase://{thrift}?prefix={names.prefix}",
        "TALLYMARK_RAW": f"s3://{names.bucket}/raw",
        "TALLYMARK_SPARK_JARS": str(place("spark-kafka")),
        "AWS_ENDPOINT_URL": endpoint(shape),
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": keys.id,
        "AWS_SECRET_ACCESS_KEY": keys.secret,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_CONDITIONAL_PUT": "etag",
    }


def _make_topic(shape: Shape, root: Path, names: Names) -> None:
    # by name, as `tallymark` loads the layers' commands: this package does not depend on them
    create_topic = import_module("stream.log.kafka.admin").create_topic
    settings = Settings(home=root, log=log(shape, names))
    create_topic(settings, partitions=shape.partitions, retention=shape.retention)


def _make_tables(names: Sequence[Names], shape: Shape, at: Site, regions: int) -> None:
    prefixes = [each.prefix for each in names]
    make_tables(prefixes, at, jars=place("hbase"), zookeeper=f"{HOST}:{shape.ports['zookeeper']}", regions=regions)


def _make_bucket(shape: Shape, root: Path, names: Names) -> None:
    keys = keys_in(root / "s3")
    make_bucket(names.bucket, s3_client(endpoint(shape), keys.id, keys.secret))


def log(shape: Shape, names: Names) -> str:
    """The setting `log`."""
    return f"kafka://{HOST}:{shape.ports['kafka']}/{names.topic}"


def endpoint(shape: Shape) -> str:
    """Where S3 is."""
    return f"http://{HOST}:{shape.ports['s3']}"
