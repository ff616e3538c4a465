"""Where reports are put: `reports` in home, or beside the raw table when that is on S3."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tallymark.raw.errors import explaining
from tallymark.raw.s3 import S3, is_s3
from tallymark.settings import Settings

__all__ = ["put", "reports_uri"]

_TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json"}


def reports_uri(settings: Settings) -> str:
    """s3://bucket/tally/raw has its reports in s3://bucket/tally/reports."""
    if not is_s3(settings.raw_uri):
        return str(settings.home / "reports")
    bucket, *folders = settings.raw_uri.removeprefix("s3://").rstrip("/").split("/")
    return "/".join(["s3:/", bucket, *folders[:-1], "reports"])


def put(uri: str, name: str, text: str) -> str:
    """Put a file into `uri` and return where it is. Raises RawRefused or RawUnavailable when the storage fails."""
    with explaining(uri):
        (_put_in_bucket if is_s3(uri) else _put_in_folder)(uri, name, text.encode())
    return f"{uri}/{name}"


def _put_in_folder(uri: str, name: str, body: bytes) -> None:
    folder = Path(uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(body)


def _put_in_bucket(uri: str, name: str, body: bytes) -> None:
    import boto3
    from botocore.config import Config

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    s3 = S3.of(os.environ)
    client: Any = boto3.client("s3", config=Config(**s3.for_boto_config()), **s3.for_boto())
    client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body, ContentType=_TYPES[Path(name).suffix])
