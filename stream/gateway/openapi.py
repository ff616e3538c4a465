"""How `POST /v1/events` is described at /openapi.json. The event's schema is made from the type that decodes it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import Response

from stream.gateway.bodies import AVRO_TYPES, CLOUD_TYPES, JSON_TYPES, NDJSON_TYPES
from tallymark.client.wire import Rejection, Verdict
from tallymark.event import (
    EARLIEST_MS,
    ID_PATTERN,
    LATEST_MS,
    MAX_ATTRIBUTE,
    MAX_ATTRIBUTES,
    MAX_EVENT_ID,
    MAX_VALUE,
    TYPE_PATTERN,
    Event,
)
from tallymark.http.problems import PROBLEM_JSON, problems

__all__ = ["GATEWAY_DESCRIPTION", "GET_PIXEL", "GET_SCHEMA", "GET_SCRIPT", "POST_EVENTS", "add_schemas"]

GATEWAY_DESCRIPTION: Final = """
Takes what happened to videos, and answers once the log has made it durable.

Each event of a post gets its own verdict. Sending a post again is safe, and right after 429, 503 or no answer at all:
events are counted once by their `event_id`, so keep the ids when you send again.
"""
_REF: Final = "#/components/schemas/{name}"
_NO_CONTROL: Final = r"^[^\u0000-\u001f\u007f-\u009f]+$"
_NO_CONTROL_OR_EMPTY: Final = r"^[^\u0000-\u001f\u007f-\u009f]*$"
_VIEW: Final = {"event_id": "0193a1b2-1", "type": "view", "video_id": "ATL", "occurred_at": "2026-01-31T12:00:00Z"}
_WATCHED: Final = {
    "event_id": "0193a1b2-2",
    "type": "watched_time",
    "video_id": "ATL",
    "occurred_at": 1769860800250,
    "value": 30000,
    "user_id": "u-17",
}
_REFUSED: Final = {
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "none of 1 events was accepted; the first: occurred_at: required, but missing",
    "accepted": 0,
    "rejected": [{"index": 0, "field": "occurred_at", "reason": "required, but missing"}],
}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(name=name)}


def _lines(*events: dict[str, Any]) -> str:
    return "".join(msgspec.json.encode(event).decode() + "\n" for event in events)


def _retry(status: int, says: str) -> dict[str, Any]:
    after = {"description": "Seconds to wait before sending the same again.", "schema": {"type": "integer"}}
    return {**problems(status)[status], "description": says, "headers": {"Retry-After": after}}


_EVENTS: Final = {"type": "array", "minItems": 1, "items": _ref("Event")}
_JSON: Final = {
    "schema": {"oneOf": [_ref("Event"), _EVENTS, _ref("SentEvents")]},
    "examples": {
        "one": {"summary": "One event", "value": _VIEW},
        "many": {"summary": "An array of events", "value": [_VIEW, _WATCHED]},
        "sent": {
            "summary": "Events, and when they were sent by the sender's clock",
            "value": {"sent_at": "2026-01-31T12:00:01Z", "events": [_VIEW]},
        },
    },
}
_NDJSON: Final = {
    "schema": {**_EVENTS, "description": "One JSON object on each line; blank lines are not counted."},
    "examples": {"lines": {"summary": "An event on each line", "value": _lines(_VIEW, _WATCHED)}},
}
_CLOUD: Final = {
    "specversion": "1.0",
    "id": "0193a1b2-3",
    "source": "/player",
    "type": "com.example.view",
    "subject": "ATL",
    "time": "2026-01-31T12:00:00Z",
    "data": {"user_id": "u-17"},
}
_CLOUD_EVENT: Final = {
    "schema": _ref("CloudEvent"),
    "examples": {"one": {"summary": "A CloudEvent in structured mode", "value": _CLOUD}},
}
_CLOUD_EVENTS: Final = {
    "schema": {"type": "array", "minItems": 1, "items": _ref("CloudEvent")},
    "examples": {"many": {"summary": "CloudEvents in batched mode", "value": [_CLOUD]}},
}
_AVRO: Final = {
    "schema": {
        "type": "string",
        "format": "binary",
        "description": "An object container file of flat records, or single objects of the schema at /v1/schema.",
    },
}
_CONTENT: Final = {
    **dict.fromkeys(JSON_TYPES, _JSON),
    **dict.fromkeys(NDJSON_TYPES, _NDJSON),
    **dict(zip(CLOUD_TYPES, (_CLOUD_EVENT, _CLOUD_EVENTS), strict=True)),
    **dict.fromkeys(AVRO_TYPES, _AVRO),
}
_A_TIME: Final[dict[str, Any]] = {
    "oneOf": [
        {"type": "integer", "minimum": EARLIEST_MS, "maximum": LATEST_MS, "description": "Epoch milliseconds, UTC."},
        {"type": "string", "format": "date-time", "description": "RFC 3339, with a zone."},
    ]
}
_SENT_AT: Final = {
    "name": "X-Sent-At",
    "in": "header",
    "description": "When the post was sent, by the sender's clock. By as much as it is ahead of the gateway's, all "
    "events of the post are set back.",
    "schema": {"type": "string", "format": "date-time"},
}
_ENCODING: Final = {
    "name": "Content-Encoding",
    "in": "header",
    "description": "How the body is compressed; leave it out when it is not.",
    "schema": {"type": "string", "enum": ["gzip", "zstd", "identity"]},
}
_TAKEN: Final = Verdict(2, (Rejection(1, "value", "expected an integer between -2^40 and 2^40"),), duplicates=1)

POST_EVENTS: Final[dict[str, Any]] = {
    "summary": "Send events",
    "tags": ["events"],
    "status_code": 202,
    "response_description": "At least one event was accepted, and what was accepted is durable.",
    "responses": {
        202: {
            "content": {"application/json": {"schema": _ref("Verdict"), "example": msgspec.to_builtins(_TAKEN)}},
        },
        **problems(400, 413, 415),
        422: {
            "description": "No event was accepted; `rejected` says why.",
            "content": {PROBLEM_JSON: {"schema": _ref("Refusal"), "example": _REFUSED}},
        },
        429: _retry(429, "Too much waits, or for too long; nothing of the post was taken."),
        503: _retry(503, "The log does not answer; the post may or may not have been taken, send it again."),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": "One event, an array of events, or an event on each line; CloudEvents; Avro.",
            "content": _CONTENT,
        },
        "parameters": [_ENCODING, _SENT_AT],
    },
}

GET_SCHEMA: Final[dict[str, Any]] = {
    "summary": "The Avro schema of events",
    "tags": ["events"],
    "responses": {200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
}

GET_SCRIPT: Final[dict[str, Any]] = {
    "summary": "The script that counts views and watched time of a page",
    "tags": ["pages"],
    "responses": {
        200: {"content": {"text/javascript": {"schema": {"type": "string"}}}},
        304: {"description": "The copy that If-None-Match names is still good."},
    },
    "response_class": Response,
}

_GIF: Final = {"image/gif": {"schema": {"type": "string", "format": "binary"}}}
_OF_PIXEL: Final[dict[str, dict[str, Any]]] = {
    "video_id": {"type": "string", "pattern": ID_PATTERN},
    "type": {"type": "string", "default": "view", "pattern": f"^{TYPE_PATTERN}$"},
    "event_id": {
        "type": "string",
        "pattern": ID_PATTERN,
        "maxLength": MAX_EVENT_ID,
        "description": "Without one, each time that the pixel is loaded counts.",
    },
    "occurred_at": {
        "type": "string",
        "format": "date-time",
        "description": "RFC 3339, or epoch milliseconds; now, when it is left out.",
    },
    "user_id": {"type": "string", "pattern": ID_PATTERN},
    "value": {"type": "integer", "default": 1, "minimum": -MAX_VALUE, "maximum": MAX_VALUE},
}
GET_PIXEL: Final[dict[str, Any]] = {
    "summary": "Send one event by loading an image",
    "tags": ["pages"],
    "response_class": Response,
    "responses": {200: {"description": "The event is durable.", "content": _GIF}}
    | {
        status: {"description": f"{says}, as for a post. X-Refused says why; the image comes too.", "content": _GIF}
        for status, says in {422: "No event", 429: "Too much", 503: "The log does not answer"}.items()
    },
    "openapi_extra": {
        "parameters": [
            {"name": name, "in": "query", "required": name == "video_id", "schema": schema}
            for name, schema in _OF_PIXEL.items()
        ]
    },
}


def add_schemas(document: dict[str, Any], *, most: int) -> None:
    """Add what the descriptions refer to; `most` is how many events one post may hold."""
    _, schemas = msgspec.json.schema_components([Event, Verdict], ref_template=_REF)
    properties = schemas["Event"]["properties"]
    for text in _texts(properties):
        text["pattern"] = _NO_CONTROL
    properties["type"]["pattern"] = f"^{TYPE_PATTERN}$"
    _text_of(properties["not_counted"])["pattern"] = f"^{TYPE_PATTERN}$"
    properties["occurred_at"] = _A_TIME
    properties["attributes"] |= {
        "maxProperties": MAX_ATTRIBUTES,
        "propertyNames": {"pattern": f"^{TYPE_PATTERN}$"},
        "additionalProperties": {"type": "string", "maxLength": MAX_ATTRIBUTE, "pattern": _NO_CONTROL_OR_EMPTY},
    }
    for name in set(properties) - set(schemas["Event"]["required"]):
        properties[name] = {"anyOf": [properties[name], {"type": "null"}]}
    schemas["SentEvents"] = {
        "type": "object",
        "required": ["events"],
        "properties": {
            "sent_at": {
                "anyOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}, {"type": "null"}],
                "description": "As X-Sent-At, which it overrules.",
            },
            "events": _EVENTS,
        },
    }
    schemas["CloudEvent"] = _cloud_event(properties)
    verdict = {"accepted": {"type": "integer"}, "rejected": {"type": "array", "items": _ref("Rejection")}}
    schemas["Refusal"] = {"allOf": [_ref("Problem"), {"required": list(verdict), "properties": verdict}]}
    document["components"]["schemas"].update(schemas)
    for media in document["paths"]["/v1/events"]["post"]["requestBody"]["content"].values():
        for schema in media["schema"].get("oneOf", [media["schema"]]):
            if schema.get("type") == "array":
                schema["maxItems"] = most


def _cloud_event(properties: dict[str, Any]) -> dict[str, Any]:
    """What of a CloudEvent is read."""
    inside = {name: properties[name] for name in ("value", "user_id", "producer_id", "seq", "attributes")}
    data = {"type": ["object", "null"], "properties": inside, "description": "Fields of the event, which win."}
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "subject", "time"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {**properties["event_id"], "description": "The event_id."},
            "source": {"type": "string", "minLength": 1},
            "type": {
                "type": "string",
                "pattern": rf"^([^\u0000-\u001f\u007f-\u009f]*\.)?{TYPE_PATTERN}$",
                "description": "The type is what follows its last point.",
            },
            "subject": {**properties["video_id"], "description": "The video_id."},
            "time": {"type": "string", "format": "date-time", "description": "The occurred_at."},
            "datacontenttype": {"enum": ["application/json", None]},
            "data": data,
        },
    }


def _text_of(field: dict[str, Any]) -> dict[str, Any]:
    (text,) = _texts({"": field})
    return text


def _texts(properties: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of all strings that are ids."""
    alternatives = [schema for field in properties.values() for schema in field.get("anyOf", [field])]
    return [schema for schema in alternatives if schema.get("type") == "string"]
