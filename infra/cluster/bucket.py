"""The S3 server as a client sees it, and the bucket that raw events lie in."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

__all__ = ["REGION", "make_bucket", "remove_bucket", "s3_client"]

REGION: Final = "us-east-1"


def make_bucket(bucket: str, client: Any = None) -> None:
    """Unless it exists. Without a `client`, the AWS_* variables say where and as whom."""
    import boto3
    from botocore.exceptions import ClientError

    client = client or boto3.client("s3")
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
            raise
        client.create_bucket(Bucket=bucket)


def remove_bucket(bucket: str, client: Any) -> None:
    """With all objects in it, unless there is no such bucket."""
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            objects = [{"Key": each["Key"]} for each in page.get("Contents", [])]
            if objects:
                client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        client.delete_bucket(Bucket=bucket)
    except client.exceptions.NoSuchBucket:
        return


def s3_client(endpoint: str, key: str, secret: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(
            connect_timeout=3,
            read_timeout=20,
            retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required",
            s3={"addressing_style": "path"},
        ),
    )
