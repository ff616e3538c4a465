"""When rows of a file occurred, as its mapping reads their column."""

from __future__ import annotations

from typing import Final

import polars as pl

from batch.importing.mapping import Time
from tallymark.errors import TallymarkError

__all__ = ["instant_in", "why_not_read"]

_ZONED: Final = ("%z", "%:z", "%#z", "%+", "%s")
_LEAP: Final = ":60"  # strptime makes the second after it of a leap second; the rule decides


def instant_in(time: Time, kind: pl.DataType) -> pl.Expr:
    """Epoch ms, of a column of that kind; null of what is no instant.

    Raises TallymarkError when times need a zone and there is none.
    """
    at = pl.col(time.column)
    if isinstance(kind, pl.Datetime | pl.Date):
        zoned = isinstance(kind, pl.Datetime) and kind.time_zone
        instants = at if zoned else _in_zone(at.cast(pl.Datetime("us")), time)
        return instants.dt.epoch("us").floordiv(1000)
    if time.format is not None:
        if any(sign in time.format for sign in _ZONED):
            read = at.cast(pl.String).str.to_datetime(time.format, time_unit="ms", time_zone="UTC", strict=False)
        else:
            read = _in_zone(_read(at, time.format), time)
        return read.dt.epoch("ms")
    number = at.cast(pl.Int64, strict=False)
    if time.unit is not None:
        return pl.coalesce(_in_ms(number, time.unit), _in_ms(at.cast(pl.Float64, strict=False), time.unit))
    if kind.is_integer():
        return number
    floating = at.cast(pl.Float64, strict=False)
    whole = pl.when(floating.floor() == floating).then(floating.cast(pl.Int64, strict=False))
    if kind.is_numeric():
        return whole
    number = pl.coalesce(number, whole)
    rfc3339 = at.str.to_datetime("%+", time_unit="ms", time_zone="UTC", strict=False).dt.epoch("ms")
    return pl.coalesce(pl.when(~at.str.contains(_LEAP, literal=True)).then(rfc3339), number)


def why_not_read(given: str, time: Time) -> str | None:
    """Why `instant_in` made no instant of what a row gives; None where the rule for events has words for that."""
    if time.unit is not None:
        return f"expected a number of {time.unit} since 1970"
    if (
        time.format is not None
        and pl.Series([given]).to_frame("t").select(_read(pl.col("t"), time.format)).item() is None
    ):
        return f"does not read as {time.format}"
    if time.format is None and time.zone is None:
        return None
    if time.clock_change is not None:
        return f"clocks were put forward over that time in {time.zone}, so there was none"
    return f"clocks were changed in that hour in {time.zone}; clock_change in the mapping says which is meant"


def _read(at: pl.Expr, format: str) -> pl.Expr:
    """Also a date alone, which is its midnight."""
    text = at.cast(pl.String)
    if "%H" in format or "%I" in format or "%T" in format:
        return text.str.to_datetime(format, time_unit="ms", strict=False)
    return text.str.to_date(format, strict=False).cast(pl.Datetime("ms"))


def _in_zone(naive: pl.Expr, time: Time) -> pl.Expr:
    if time.zone is None:
        raise TallymarkError(
            f'the times in {time.column} name no zone: say which one is meant in the mapping, zone = "UTC" for example'
        )
    return naive.dt.replace_time_zone(time.zone, ambiguous=time.clock_change or "null", non_existent="null")


def _in_ms(number: pl.Expr, unit: str) -> pl.Expr:
    """Downward; of whole numbers without a detour through floats."""
    scaled = {"s": number * 1000, "ms": number, "us": number.floordiv(1000), "ns": number.floordiv(1_000_000)}[unit]
    return scaled.floor().cast(pl.Int64, strict=False)
