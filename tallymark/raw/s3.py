"""How every part reaches an S3 raw table: the usual AWS_* variables in the words of each client, here and only here.

Credentials do not pass through here. Each client finds them by the usual chain: AWS_ACCESS_KEY_ID and its companions,
a profile, the role of the machine. Addresses are path-style, so that a server without wildcard names works as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["FORWARDED", "S3", "is_s3"]

FORWARDED: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
)
"""What may be handed to another machine: values. A profile or a token file is something that machine has its own of."""

_CONNECT_SECONDS: Final = 3
# a commit gives up after 20 + 25 s, which is less than the lease under which it is made: see tallymark.store.lease
_DELTA_PATIENCE: Final = {"max_retries": "4", "retry_timeout": "20s", "timeout": "25s", "connect_timeout": "3s"}


def is_s3(uri: str) -> bool:
    return uri.startswith("s3://")


@dataclass(frozen=True)
class S3:
    """`endpoint` is None for AWS itself. `S3.of(os.environ)` is what the environment of this process says."""

    endpoint: str | None
    region: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> S3:
        endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        return cls(endpoint or None, region or "us-east-1")

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return f"S3 at {self.endpoint}" if self.endpoint else f"S3 in {self.region}"

    def for_delta(self) -> dict[str, str]:
        """The `storage_options` of delta-rs. A commit is a conditional put, which not every server honours."""
        return self._for_object_store() | {"aws_conditional_put": "etag"} | _DELTA_PATIENCE

    def for_polars(self) -> dict[str, Any]:
        """The `storage_options` of Polars."""
        return self._for_object_store() | {"max_retries": 4, "retry_timeout_ms": 20_000}

    def for_boto(self) -> dict[str, Any]:
        """Arguments of `boto3.client("s3", …)`, but for `config`."""
        return {"endpoint_url": self.endpoint, "region_name": self.region}

    def for_boto_config(self) -> dict[str, Any]:
        """Arguments of `botocore.config.Config`."""
        return {
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": 15,
            "retries": {"total_max_attempts": 3, "mode": "standard"},
            "s3": {"addressing_style": "path"},
            # servers other than AWS may not know the newer checksums
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }

    def _for_object_store(self) -> dict[str, str]:
        options = {"aws_region": self.region, "aws_virtual_hosted_style_request": "false"}
        if self.endpoint:
            options["aws_endpoint_url"] = self.endpoint
            options["aws_allow_http"] = str(self.endpoint.startswith("http://")).lower()
        return options
