"""Rows of a file become events, whole columns at once.

Columns say of most rows that they are obviously right. Each of the others is written as the JSON that it would have
been, and goes through `tallymark.event.decode`: so what is an event is decided in one place, and refused rows say the
same as at the gateway (ADR 4).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
import polars as pl
import polars_hash  # noqa: F401 - adds `chash` to expressions

from batch.importing.mapping import Field, Mapping
from batch.importing.readers import ROW_NUMBER, Broken
from batch.importing.times import instant_in, why_not_read
from tallymark.errors import MalformedEvent
from tallymark.event import EARLIEST_MS, LATEST_MS, MAX_ATTRIBUTE, MAX_EVENT_ID, MAX_ID, MAX_VALUE, TYPE_PATTERN, decode

__all__ = ["EVENT_COLUMNS", "Events", "attribute_columns", "events_in"]

EVENT_COLUMNS: Final = {
    "event_id": pl.String,
    "type": pl.String,
    "video_id": pl.String,
    "occurred_at": pl.Int64,
    "value": pl.Int64,
    "user_id": pl.String,
    "producer_id": pl.String,
    "seq": pl.Int64,
}
_ATTRIBUTE: Final = "attribute "
_IDS: Final = {"event_id": MAX_EVENT_ID, "video_id": MAX_ID, "user_id": MAX_ID, "producer_id": MAX_ID}
_NEEDED: Final = ("event_id", "type", "video_id", "occurred_at")
_CONTROL: Final = r"[\x00-\x1f\x7f-\x{9f}]"
_UNIT: Final = "\x1f"  # between hashed columns, so that ("a", "bc") is not ("ab", "c")
_NUMBERS: Final = ("value", "seq")
_ID_LETTERS: Final = 32
_FILE_LETTERS: Final = 24
_NOT_YET: Final = "occurred_at: its hour is not over for long enough to be history; send it to the gateway"


class Events(NamedTuple):
    """`frame`: the rows that are events, EVENT_COLUMNS, a column for each attribute of the mapping, and ROW_NUMBER.
    `refused`: the others, field: reason."""

    frame: pl.DataFrame
    refused: list[Broken]


def events_in(rows: pl.DataFrame, mapping: Mapping, content: str, *, before_ms: int) -> Events:
    """`content`: what the file of the rows is known by. Events that occurred before `before_ms`, epoch ms, are history;
    others are refused.
    """
    made = _made(rows, mapping, content)
    right = made.filter("right")
    mended, refused = [], []
    for row in made.filter(~pl.col("right")).iter_rows(named=True):
        event = _judged(row, mapping)
        if isinstance(event, Broken):
            refused.append(event)
        else:
            mended.append(event)
    schema = {**EVENT_COLUMNS, **dict.fromkeys(attribute_columns(mapping), pl.String), ROW_NUMBER: pl.Int64}
    frame = right.select(list(schema))
    if mended:
        frame = pl.concat([frame, pl.DataFrame(mended, schema=schema, orient="row")]).sort(ROW_NUMBER)
    fresh = frame.filter(pl.col("occurred_at") >= before_ms)
    if fresh.height:
        frame = frame.filter(pl.col("occurred_at") < before_ms)
        refused += [Broken(row, _NOT_YET) for row in fresh[ROW_NUMBER]]
    return Events(frame, refused)


def _made(rows: pl.DataFrame, mapping: Mapping, content: str) -> pl.DataFrame:
    """EVENT_COLUMNS, what the row gave for those that are not plainly text, and whether the row is obviously right."""
    fields = mapping.event.fields
    given = [_text(fields[name], rows).alias(_given(name)) for name in _NUMBERS if name in fields]
    texts = [
        _text(fields[name], rows).alias(name) if name in fields else pl.lit(None, pl.String).alias(name)
        for name in ("type", "video_id", "user_id", "producer_id")
    ]
    time = mapping.time
    made = rows.select(
        ROW_NUMBER,
        *texts,
        *(_text(field, rows).alias(f"{_ATTRIBUTE}{name}") for name, field in mapping.event.attributes.items()),
        *given,
        _id(mapping, content, _text(mapping.event.type, rows)),
        pl.col(time.column).cast(pl.String).alias(_given("occurred_at")),
        instant_in(time, rows.schema[time.column]).alias("occurred_at"),
    ).with_columns(
        _number(name, default).alias(name) if name in fields else pl.lit(default, pl.Int64).alias(name)
        for name, default in (("value", 1), ("seq", None))
    )
    types = made["type"].unique()
    right_types = types.filter(types.str.contains(f"^{TYPE_PATTERN}$")).to_list()
    checks = [pl.col(name).is_not_null() for name in _NEEDED]
    checks += [_is_id(name, longest) for name, longest in _IDS.items()]
    checks += [_is_text(name, MAX_ATTRIBUTE) for name in attribute_columns(mapping)]
    checks += [
        pl.col("type").is_in(right_types),
        pl.col("occurred_at").is_between(EARLIEST_MS, LATEST_MS),
        pl.col("value").is_between(-MAX_VALUE, MAX_VALUE),
        pl.col("seq").is_null() | (pl.col("seq") >= 0),
    ]
    checks += [pl.col(name).is_not_null() | pl.col(_given(name)).is_null() for name in _NUMBERS if name in fields]
    return made.with_columns(pl.all_horizontal(checks).fill_null(value=False).alias("right"))


def attribute_columns(mapping: Mapping) -> dict[str, str]:
    """The attribute that each column of `Events.frame` is of."""
    return {f"{_ATTRIBUTE}{name}": name for name in mapping.event.attributes}


def _is_id(name: str, longest: int) -> pl.Expr:
    return _is_text(name, longest, least=1)


def _is_text(name: str, longest: int, *, least: int = 0) -> pl.Expr:
    text = pl.col(name)
    return text.is_null() | (text.str.len_chars().is_between(least, longest) & ~text.str.contains(_CONTROL))


def _given(name: str) -> str:
    """The name under which what a row says of a field is kept beside what was made of it."""
    return f"given {name}"


def _text(field: Field, rows: pl.DataFrame) -> pl.Expr:
    if field.column is None:
        return pl.lit(str(field.constant))
    text = pl.col(field.column)
    if isinstance(rows.schema[field.column], pl.Float32 | pl.Float64):
        whole = text.cast(pl.Int64, strict=False)
        text = pl.when(whole == text).then(whole.cast(pl.String)).otherwise(text.cast(pl.String))
    text = text.cast(pl.String)
    if field.values:
        text = text.replace(field.values)
    return text if field.default is None else text.fill_null(str(field.default))


def _number(name: str, default: int | None) -> pl.Expr:
    """What a row does not give is the default; what is no integer is null."""
    read = pl.col(_given(name)).cast(pl.Int64, strict=False)
    return pl.when(pl.col(_given(name)).is_null()).then(pl.lit(default, pl.Int64)).otherwise(read)


def _id(mapping: Mapping, content: str, kind: pl.Expr) -> pl.Expr:
    """`kind`: the event's type, which belongs to ids that are made: events of two types are never one."""
    ids = mapping.event.event_id
    if ids.column is not None:
        return pl.col(ids.column).cast(pl.String).alias("event_id")
    if not ids.hash:
        place = _hashed([pl.lit(content), kind.fill_null("")]).str.slice(0, _FILE_LETTERS)
        return pl.concat_str(place, pl.lit("-"), pl.col(ROW_NUMBER)).alias("event_id")
    # "~" before what is there: nothing and an empty text are two things
    told = [kind, *(pl.col(name).cast(pl.String) for name in ids.hash)]
    parts = [pl.concat_str(pl.lit("~"), each).fill_null("") for each in told]
    return _hashed(parts).str.slice(0, _ID_LETTERS).alias("event_id")


def _hashed(parts: list[pl.Expr]) -> pl.Expr:
    hashed: pl.Expr = pl.concat_str(parts, separator=_UNIT).chash.sha2_256()  # type: ignore[attr-defined]
    return hashed


def _judged(row: dict[str, Any], mapping: Mapping) -> tuple[Any, ...] | Broken:
    """What the rule says of a row: the event's fields and the row's number, or why it is none."""
    told: dict[str, Any] = {name: row[name] for name in ("event_id", "type", "video_id", "user_id", "producer_id")}
    told |= {name: _as_number(row[_given(name)]) for name in _NUMBERS if row.get(_given(name)) is not None}
    attributes = {name: row[column] for column, name in attribute_columns(mapping).items()}
    told["attributes"] = {name: text for name, text in attributes.items() if text is not None}
    given = row[_given("occurred_at")]
    told["occurred_at"] = given if row["occurred_at"] is None else row["occurred_at"]
    if row["occurred_at"] is None and given is not None and (why := why_not_read(given, mapping.time)):
        return Broken(row[ROW_NUMBER], f"occurred_at: {why}")
    try:
        event = decode(msgspec.json.encode({name: value for name, value in told.items() if value is not None}))
    except MalformedEvent as problem:
        return Broken(row[ROW_NUMBER], str(problem))
    fields = (getattr(event, name) for name in EVENT_COLUMNS)
    return (*fields, *map(event.attributes.get, attributes), row[ROW_NUMBER])


def _as_number(text: str) -> Any:
    """As JSON would have it; what is no number stays text, and is refused as such."""
    try:
        number = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return number if isinstance(number, int | float) else text
