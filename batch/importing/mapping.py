"""Which column of a file is which field of an event: what `--map` reads, a TOML file.

zone = "Europe/Berlin"                                     # of times that name none
clock_change = "earliest"                                  # of an hour that there was twice

[event]
type = { constant = "view" }
video_id = "page"                                          # short for { column = "page" }
occurred_at = { column = "at", format = "%d.%m.%Y %H:%M" }
value = { column = "seconds", default = 1 }
event_id = { hash = ["visitor", "page", "at"] }            # and its type; left out: by its place in the file
    attributes = { country = "geo" }
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from tallymark.errors import TallymarkError
from tallymark.event import trouble_with_attributes

__all__ = ["Csv", "EventMap", "Field", "Id", "Mapping", "Time", "read_mapping"]


ClockChange = Literal["earliest", "latest"]


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of a `column`, or a `constant`. `values`: what stands for what; `default`: for a row that has nothing there."""

    column: str | None = None
    constant: str | int | None = None
    default: str | int | None = None
    values: dict[str, str] = {}


class Time(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """RFC 3339 or epoch milliseconds, unless there is a `format` (of strptime) or a `unit`, of numbers since 1970.

    `zone`: of times that name none. `clock_change`: which of two hours of the same name is meant; a time in them is
    refused otherwise, and one in an hour that was left out always.
    """

    column: str
    format: str | None = None
    unit: Literal["s", "ms", "us", "ns"] | None = None
    zone: str | None = None
    clock_change: ClockChange | None = None


class Id(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of a `column`; or made of those in `hash` and of the event's type: rows that are the same there are one event."""

    column: str | None = None
    hash: list[str] = []


class EventMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Without `event_id`, each row of a file is an event of its own, and the same one whenever that file is read."""

    type: Field
    video_id: Field
    occurred_at: Time
    event_id: Id = Id()
    value: Field | None = None
    user_id: Field | None = None
    producer_id: Field | None = None
    seq: Field | None = None
    attributes: dict[str, Field] = {}

    @property
    def fields(self) -> dict[str, Field]:
        """All that are made in the same way, by name."""
        named = ("type", "video_id", "value", "user_id", "producer_id", "seq")
        return {name: field for name in named if (field := getattr(self, name)) is not None}


class Csv(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`columns`: their names, of a file that does not begin with them. `line_breaks`: whether values may hold any."""

    delimiter: str = ","
    columns: list[str] = []
    line_breaks: bool = False


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`zone` and `clock_change`: of times that have none of their own."""

    event: EventMap
    zone: str | None = None
    clock_change: ClockChange | None = None
    format: Literal["parquet", "csv", "ndjson"] | None = None
    csv: Csv = Csv()

    @property
    def time(self) -> Time:
        """`occurred_at` with all that is said of it."""
        time = self.event.occurred_at
        return msgspec.structs.replace(
            time, zone=time.zone or self.zone, clock_change=time.clock_change or self.clock_change
        )

    @property
    def columns(self) -> list[str]:
        """All that are read, each once."""
        ids = self.event.event_id
        fields = (*self.event.fields.values(), *self.event.attributes.values())
        named = [*(field.column for field in fields), self.event.occurred_at.column, ids.column]
        return list(dict.fromkeys(name for name in (*named, *ids.hash) if name))

    @property
    def digest(self) -> str:
        """The same of mappings that say the same."""
        return sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


def read_mapping(path: Path) -> Mapping:
    """Raises TallymarkError that says what is wrong with it."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TallymarkError(f"there is no mapping {path}; docs/import.md shows one") from None
    except (OSError, ValueError) as error:
        raise TallymarkError(f"the mapping {path} cannot be read: {error}") from None
    try:
        mapping = msgspec.convert(_written_out(told), Mapping)
    except msgspec.ValidationError as error:
        raise TallymarkError(f"the mapping {path} is not one: {error}; docs/import.md shows what it may hold") from None
    if problems := list(_problems(mapping)):
        raise TallymarkError(f"the mapping {path} is not one: {'; '.join(problems)}")
    return mapping


def _written_out(told: dict[str, Any]) -> dict[str, Any]:
    """Fields that are only the name of a column become tables."""
    event = told.get("event")
    if not isinstance(event, dict):
        return told
    written = _tables(event)
    if isinstance(event.get("attributes"), dict):
        written["attributes"] = _tables(event["attributes"])
    return told | {"event": written}


def _tables(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: {"column": field} if isinstance(field, str) else field for name, field in fields.items()}


def _problems(mapping: Mapping) -> Iterator[str]:
    event = mapping.event
    if trouble := trouble_with_attributes(dict.fromkeys(event.attributes, "")):
        yield f"event.attributes: {trouble}"
    for name, field in (*event.fields.items(), *event.attributes.items()):
        if (field.column is None) == (field.constant is None):
            yield f"event.{name} needs a column or a constant, one of them"
    if event.event_id.column is not None and event.event_id.hash:
        yield "event.event_id is of a column or of a hash, not of both"
    if event.occurred_at.format is not None and event.occurred_at.unit is not None:
        yield "event.occurred_at has a format or a unit, not both"
    for zone in filter(None, (mapping.zone, event.occurred_at.zone)):
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            yield f'{zone!r} is no time zone; write for example "Europe/Berlin" or "UTC"'
    if len(mapping.csv.delimiter) != 1:
        yield "csv.delimiter is one character"
