"""Schemas by their ids, of records that others write in the wire format of a schema registry.

A registry is a URL, asked as Confluent's and those like it are (`GET /schemas/ids/7`), or a folder of files `7.avsc`.
An id never changes its meaning, so each is looked up once in a process. A registry that does not answer stops the line:
what is no event is buried, and that must not depend on a network.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

import httpx
import msgspec

from stream.formats.avro import WriterSchema, from_registry, schema_id, writer_schema
from tallymark.errors import MalformedEvent, Unavailable

__all__ = ["as_json_by"]

_WITHIN_S: Final = 5.0
_UNKNOWN_FOR_S: Final = 60.0  # an id that nobody knows is not asked for with each of its records


class _Answer(msgspec.Struct):
    schema: str
    kind: str = msgspec.field(default="AVRO", name="schemaType")


class _Registry:
    def __init__(self, place: str) -> None:
        self._place = place
        self._known: dict[int, WriterSchema] = {}
        self._unknown: dict[int, tuple[float, MalformedEvent]] = {}

    def schema_of(self, number: int) -> WriterSchema:
        """Raises MalformedEvent when there is none, Unavailable when the registry does not say."""
        if number in self._known:
            return self._known[number]
        if number in self._unknown:
            at, problem = self._unknown[number]
            if time.monotonic() - at < _UNKNOWN_FOR_S:
                raise problem
        try:
            self._known[number] = writer_schema(self._text_of(number))
        except MalformedEvent as error:
            self._unknown[number] = (time.monotonic(), error)
            raise
        return self._known[number]

    def _text_of(self, number: int) -> bytes:
        if not self._place:
            raise MalformedEvent(
                f"written with schema {number} of a registry, and the setting schema_registry names none"
            )
        if self._place.startswith(("http://", "https://")):
            return _asked(self._place.rstrip("/"), number)
        try:
            return Path(self._place, f"{number}.avsc").read_bytes()
        except FileNotFoundError:
            raise MalformedEvent(f"there is no {number}.avsc in {self._place} (schema_registry)") from None
        except OSError as error:
            raise Unavailable(f"the schema {number} in {self._place} cannot be read: {error}") from None


def as_json_by(place: str) -> Callable[[bytes], bytes]:
    """What a record says as JSON, where it is in a registry's wire format; any other comes back as it is.

    Raises MalformedEvent for one that cannot be read, Unavailable when the registry at `place` does not answer.
    """
    registry = _registry(place)

    def as_json(record: bytes) -> bytes:
        return record if schema_id(record) is None else from_registry(record, registry.schema_of)

    return as_json


@lru_cache(maxsize=4)
def _registry(place: str) -> _Registry:
    """A worker serves many tasks: it looks each schema up once."""
    return _Registry(place)


def _asked(url: str, number: int) -> bytes:
    try:
        answer = httpx.get(f"{url}/schemas/ids/{number}", timeout=_WITHIN_S)
    except httpx.HTTPError as error:
        raise Unavailable(f"the schema registry {url} does not answer: {error}; see schema_registry") from None
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise MalformedEvent(f"the schema registry knows no schema {number}")
    try:
        told = msgspec.json.decode(answer.raise_for_status().content, type=_Answer)
    except (httpx.HTTPStatusError, msgspec.DecodeError):
        raise Unavailable(
            f"the schema registry {url} answers {answer.status_code} and no schema when asked for schema {number}"
        ) from None
    if told.kind != "AVRO":
        raise MalformedEvent(f"schema {number} is one of {told.kind}, and only AVRO is understood")
    return told.schema.encode()
