"""CloudEvents 1.0 over HTTP: what wraps an event becomes those of its fields that its data leave open.

    id       event_id                                   time     occurred_at
    type     type: what follows its last point          subject  video_id

The data are a JSON object of the event's own fields, which win. Everything else is left out, `source` too: it says
which software speaks, not which life of a producer numbers its events.

The SDK for Python is not used: what is needed of it is this table.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import unquote

import msgspec

from tallymark.errors import MalformedEvent

__all__ = ["binary", "is_binary", "structured"]

_VERSION: Final = "1.0"
_FIELDS: Final = (("id", "event_id"), ("type", "type"), ("subject", "video_id"), ("time", "occurred_at"))
_HEADER: Final = "ce-"
_NULL: Final = msgspec.Raw(b"null")


class _Cloud(msgspec.Struct, kw_only=True):
    specversion: str
    id: str
    source: Annotated[str, msgspec.Meta(min_length=1)]
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    data_base64: str | None = None


_cloud = msgspec.json.Decoder(_Cloud)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def structured(record: bytes) -> bytes:
    """The event in a CloudEvent that is one JSON object, as a record of JSON. Raises MalformedEvent."""
    try:
        cloud = _cloud.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(f"not a CloudEvent: {error}".replace("`", "")) from None
    data = bytes(cloud.data)
    if cloud.data_base64 is not None:
        try:
            data = b64decode(cloud.data_base64, validate=True)
        except (NotBase64, ValueError):
            raise MalformedEvent("not a CloudEvent: its data_base64 is not base64") from None
    context = {"id": cloud.id, "type": cloud.type, "subject": cloud.subject, "time": cloud.time}
    return _event(cloud.specversion, context, data, cloud.datacontenttype or "")


def is_binary(headers: Mapping[str, str]) -> bool:
    return f"{_HEADER}specversion" in headers


def binary(headers: Mapping[str, str], body: bytes) -> bytes:
    """The event in a CloudEvent of which the headers are the wrapping and the body the data. Raises MalformedEvent."""
    context = {name: unquote(headers[f"{_HEADER}{name}"]) for name, _ in _FIELDS if f"{_HEADER}{name}" in headers}
    return _event(headers[f"{_HEADER}specversion"], context, body, headers.get("content-type", ""))


def _event(version: str, context: Mapping[str, Any], data: bytes, content_type: str) -> bytes:
    if version != _VERSION:
        raise MalformedEvent(f"a CloudEvent of version {version[:20]!r}; send {_VERSION}")
    kind = content_type.partition(";")[0].strip().lower()
    if kind and kind not in {"application/json", "text/json"} and not kind.endswith("+json"):
        raise MalformedEvent(f"the data of a CloudEvent are to be application/json, not {kind[:60]!r}")
    try:
        fields: dict[str, Any] = dict(_object.decode(data)) if data.strip() not in {b"", b"null"} else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(f"the data of a CloudEvent are no JSON object: {error}".replace("`", "")) from None
    for name, field in _FIELDS:
        if context.get(name) is not None and fields.get(field, _NULL) == _NULL:
            fields[field] = context[name].rpartition(".")[2] if name == "type" else context[name]
    return msgspec.json.encode(fields)
