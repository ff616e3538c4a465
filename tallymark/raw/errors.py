"""What the clients of the raw table's storage raise, in Tallymark's words: which part, where, and what to do.

boto3, delta-rs and Polars speak of the same refusals in three ways; what they share is S3's error code, which each
puts into its text. That text may also hold the id of a key, so it is not passed on.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tallymark.errors import Damaged, RawRefused, RawUnavailable, TallymarkError
from tallymark.raw.s3 import S3, is_s3

__all__ = ["explained", "explaining"]

_CODE: Final = re.compile(r"<Code>(\w+)</Code>|An error occurred \((\w+)\)")
_STATUS: Final = re.compile(r"\b(401|403|5\d\d) [A-Z]")
_DENIED: Final = re.compile(
    r"AccessDenied|AccessForbidden|InvalidAccessKeyId|SignatureDoesNotMatch|Expired\w*|InvalidToken|AllAccessDisabled"
    r"|InvalidSecurity|RequestTimeTooSkewed|AuthorizationHeaderMalformed|Unauthorized|Forbidden|401|403"
)
_FULL: Final = re.compile(r"No space left|StorageFull|InsufficientStorage|QuotaExceeded|Quota exceeded|507 ", re.I)
_NO_KEY: Final = re.compile(r"locate credentials|NoCredentials|CredentialsNotLoaded|Partial credentials|169\.254\.169")
_SILENT: Final = re.compile(
    r"Connection\w* (refused|reset|was closed|aborted)|Could not connect|error sending request|timed? ?out|dns error"
    r"|IncompleteMessage|connection closed|Broken pipe|SlowDown|InternalError|ServiceUnavailable|RequestTimeout"
    r"|error decoding response body|end of file before message|\b50[0234]\b",
    re.I,
)


@contextmanager
def explaining(uri: str, *, damage: Callable[[BaseException], Damaged | None] | None = None) -> Iterator[None]:
    """What a client raises inside about the storage of the raw table at `uri` becomes RawRefused or RawUnavailable.

    `damage` is called with what is not about the storage, and says whether a file was damaged. Anything else passes as
    it is.
    """
    try:
        yield
    except TallymarkError:
        raise
    except BaseException as error:
        if not is_raised_by_libraries(error):
            raise
        told = explained(uri, error) or (_looked_for(uri, damage, error) if damage else None)
        if told is None:
            raise
        raise told from None  # the original may hold the id of a key


def _looked_for(uri: str, damage: Callable[[BaseException], Damaged | None], error: BaseException) -> Damaged | None:
    with explaining(uri):  # the storage may fail under the search as well
        return damage(error)


def is_raised_by_libraries(error: BaseException) -> bool:
    """Any Exception, and what Rust makes of a file that it did not think possible."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def explained(uri: str, error: BaseException) -> RawRefused | RawUnavailable | None:
    """The same in our words; None when it says nothing about the storage."""
    return _of_s3(uri, str(error)) if is_s3(uri) else _of_folder(uri, error)


def _of_s3(uri: str, text: str) -> RawRefused | RawUnavailable | None:
    server = S3.of(os.environ).name
    code = next((found[1] or found[2] for found in _CODE.finditer(text)), "")
    status = next((found[1] for found in _STATUS.finditer(text)), "")
    says = code or status
    if code == "NoSuchBucket":
        bucket = uri.removeprefix("s3://").partition("/")[0]
        return RawRefused(
            f"{server} has no bucket {bucket!r} for the raw table {uri}: create it (`aws s3 mb s3://{bucket}`), or set "
            f"TALLYMARK_RAW to a bucket that exists"
        )
    if _NO_KEY.search(text):
        return RawRefused(
            f"there is no key for the raw table {uri}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile "
            f"(AWS_PROFILE) or a role of this machine, and start again"
        )
    if _FULL.search(text):
        return RawUnavailable(_full(uri, server))
    if _DENIED.fullmatch(says):
        return RawRefused(
            f"{server} refuses access to the raw table {uri} ({says}): check that the key in AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN, if it expires) is valid and may list, read, write and "
            f"delete there; then start again with the new one"
        )
    if _SILENT.search(text):
        return RawUnavailable(
            f"{server} does not answer for the raw table {uri}{f' ({says})' if says else ''}: see whether that server "
            f"runs, has room, and is the one that AWS_ENDPOINT_URL names; until then events wait in the log, and none "
            f"is lost"
        )
    return None


def _of_folder(uri: str, error: BaseException) -> RawRefused | RawUnavailable | None:
    number = error.errno if isinstance(error, OSError) else None
    text = str(error)
    if number in {errno.ENOSPC, errno.EDQUOT} or "No space left" in text:
        return RawUnavailable(_full(uri, "the disk"))
    if number in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST} or "Permission denied" in text:
        return RawRefused(
            f"the folder of the raw table {uri} cannot be written: give this user the right to, or set TALLYMARK_RAW "
            f"to another folder"
        )
    return None


def _full(uri: str, where: str) -> str:
    return (
        f"there is no room left for the raw table {uri} ({where}): make room, or raise its quota; until then "
        f"events wait in the log, and none is lost"
    )
