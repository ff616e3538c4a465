"""Where raw files are put: a folder, or a bucket of S3. A file is put whole, under a name that nobody else uses."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from tallymark.raw.errors import explaining
from tallymark.raw.s3 import S3, is_s3

__all__ = ["RawPlace", "raw_place"]

_AT_ONCE: Final = 8  # a put to S3 mostly waits


class RawPlace(NamedTuple):
    """`put(path, body)`: `path` is relative to the table. It is sensible to put `at_once` files in as many threads.

    Raises RawRefused or RawUnavailable.
    """

    put: Callable[[str, memoryview], None]
    at_once: int


@lru_cache(maxsize=1)
def raw_place(uri: str) -> RawPlace:
    """The place of the raw table at `uri`. A worker serves many tasks: it connects once."""
    return _bucket(uri) if is_s3(uri) else _folder(uri)


def _folder(uri: str) -> RawPlace:
    root = Path(uri)

    def put(path: str, body: memoryview) -> None:
        with explaining(uri):
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)

    return RawPlace(put, at_once=1)


def _bucket(uri: str) -> RawPlace:
    import boto3
    from botocore.config import Config

    bucket, _, root = uri.removeprefix("s3://").rstrip("/").partition("/")
    s3 = S3.of(os.environ)
    config = Config(max_pool_connections=_AT_ONCE, **s3.for_boto_config())
    client: Any = boto3.client("s3", config=config, **s3.for_boto())

    def put(path: str, body: memoryview) -> None:
        with explaining(uri):
            client.put_object(Bucket=bucket, Key=f"{root}/{path}", Body=bytes(body))

    return RawPlace(put, at_once=_AT_ONCE)
