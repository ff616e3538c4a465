"""S3: the usual variables in the words of each client, and what the clients raise in ours, without a key in it."""

from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from tallymark.errors import LeaseHeld, RawRefused, RawUnavailable, TallymarkError
from tallymark.raw import ROW, RawTable
from tallymark.raw.errors import explained, explaining
from tallymark.raw.s3 import FORWARDED, S3

URI = "s3://bucket/raw"
AT = "http://127.0.0.1:9000"
KEY_ID = "AKIDEXAMPLE"


@pytest.fixture(autouse=True)
def endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FORWARDED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", AT)


def in_rust(code: str, status: str) -> OSError:
    """As delta-rs and Polars say it."""
    return OSError(
        f"Generic S3 error: Error performing GET {AT}/bucket/raw/x in 2ms - Server returned non-2xx status code: "
        f"{status}: <Error><Code>{code}</Code><Message>…</Message><AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId></Error>"
    )


def in_boto(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": KEY_ID}}, "PutObject")


def test_nothing_set_means_aws_itself() -> None:
    assert S3.of({}) == S3(None, "us-east-1")
    assert "aws_endpoint_url" not in S3.of({}).for_delta()


@pytest.mark.parametrize(("url", "plain"), [(AT, "true"), ("https://s3.example", "false")])
def test_an_endpoint_is_told_to_every_client_and_http_is_allowed_where_it_is_meant(url: str, plain: str) -> None:
    s3 = S3.of({"AWS_ENDPOINT_URL": url, "AWS_REGION": "eu-central-1"})
    for options in (s3.for_delta(), s3.for_polars()):
        assert options["aws_endpoint_url"] == url
        assert options["aws_allow_http"] == plain
        assert options["aws_region"] == "eu-central-1"
    assert s3.for_boto() == {"endpoint_url": url, "region_name": "eu-central-1"}


def test_an_endpoint_for_s3_alone_wins() -> None:
    assert S3.of({"AWS_ENDPOINT_URL": "http://other", "AWS_ENDPOINT_URL_S3": AT}).endpoint == AT


def test_no_key_is_among_what_is_told_to_a_client() -> None:
    secret = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": "sesame", "AWS_SESSION_TOKEN": "token"}
    s3 = S3.of(secret)
    told = [*s3.for_delta().values(), *s3.for_polars().values(), *s3.for_boto().values()]
    assert not set(secret.values()) & set(map(str, told))


@pytest.mark.parametrize("error", [in_rust("NoSuchBucket", "404 Not Found"), in_boto("NoSuchBucket")])
def test_a_missing_bucket_is_named_with_how_to_make_it(error: Exception) -> None:
    told = explained(URI, error)
    assert isinstance(told, RawRefused)
    assert f"S3 at {AT} has no bucket 'bucket' for the raw table {URI}: create it (`aws s3 mb" in str(told)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (in_rust("AccessDenied", "403 Forbidden"), "AccessDenied"),
        (in_rust("ExpiredToken", "400 Bad Request"), "ExpiredToken"),
        (in_boto("InvalidAccessKeyId"), "InvalidAccessKeyId"),
        (in_boto("SignatureDoesNotMatch"), "SignatureDoesNotMatch"),
        (OSError("Server returned non-2xx status code: 403 Forbidden: "), "403"),
    ],
)
def test_a_key_that_is_refused_is_not_shown(error: Exception, code: str) -> None:
    told = explained(URI, error)
    assert isinstance(told, RawRefused)
    assert f"S3 at {AT} refuses access to the raw table {URI} ({code})" in str(told)
    assert "AWS_SECRET_ACCESS_KEY" in str(told)
    assert KEY_ID not in str(told)


def test_no_key_at_all_is_another_matter() -> None:
    told = explained(URI, NoCredentialsError())
    assert isinstance(told, RawRefused)
    assert f"there is no key for the raw table {URI}" in str(told)


@pytest.mark.parametrize(
    "error",
    [
        in_rust("InternalError", "500 Internal Server Error"),
        in_boto("SlowDown"),
        EndpointConnectionError(endpoint_url=AT),
        ConnectionRefusedError("error sending request\nclient error (Connect)\nConnection refused (os error 111)"),
    ],
)
def test_a_server_that_does_not_answer_may_do_so_later(error: Exception) -> None:
    told = explained(URI, error)
    assert isinstance(told, RawUnavailable)
    assert told.retriable
    assert f"S3 at {AT} does not answer for the raw table {URI}" in str(told)
    assert "AWS_ENDPOINT_URL" in str(told)


@pytest.mark.parametrize(
    ("uri", "error"),
    [(URI, in_rust("XMinioStorageFull", "507 Insufficient Storage")), ("/raw", OSError(errno.ENOSPC, "No space left"))],
)
def test_where_there_is_no_room_it_can_be_made(uri: str, error: Exception) -> None:
    told = explained(uri, error)
    assert isinstance(told, RawUnavailable)
    assert f"there is no room left for the raw table {uri}" in str(told)


def test_what_says_nothing_about_the_storage_passes_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), explaining(URI):
        1 / 0  # noqa: B018
    with pytest.raises(LeaseHeld), explaining(URI):
        raise LeaseHeld("Connection refused")


def test_the_original_does_not_follow_the_explanation() -> None:
    with pytest.raises(TallymarkError) as told, explaining(URI):
        raise in_rust("InvalidAccessKeyId", "403 Forbidden")
    assert told.value.__suppress_context__


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.touch()
    with pytest.raises(RawRefused, match=f"the folder of the raw table {folder} cannot be written"):
        RawTable(str(folder)).write(pa.Table.from_pylist([{"video_id": "v", "occurred_at": 0}], schema=pa.schema(ROW)))
