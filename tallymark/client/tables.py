"""Answers as tables: a row each, a column for each field, in Arrow or pandas (ADR 41).

A struct inside becomes columns of its own (`users`, `users_lower`, `users_upper`), what an answer lacks a list of its
codes. Numbers that are not known are null in Arrow and NA in pandas, never zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import FieldInfo, fields

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Listed", "Rows", "Tabular"]

One = TypeVar("One")


class Rows(NamedTuple):
    """Structs of one shape. Its fields are the columns, but for those in `without`."""

    shape: type[msgspec.Struct]
    rows: Sequence[Any]
    without: frozenset[str] = frozenset()


class Tabular:
    """What can be had as a table; a class says by `_rows` of what."""

    __slots__ = ()

    def to_arrow(self) -> pa.Table:
        """Times are timestamps in UTC, numbers int64 or double. The columns are there also when no row is."""
        import pyarrow as pa

        types = {
            bool: pa.bool_(),
            int: pa.int64(),
            float: pa.float64(),
            datetime: pa.timestamp("us", tz="UTC"),
            tuple: pa.list_(pa.string()),
        }
        columns = _columns(*self._rows())
        return pa.table({name: pa.array(values, types.get(kind, pa.string())) for name, kind, values in columns})

    def to_pandas(self) -> pd.DataFrame:
        """The same columns; whole numbers are Int64 and others Float64, where what is not known is NA."""
        import pandas as pd
        import pyarrow as pa

        nullable = {pa.int64(): pd.Int64Dtype(), pa.float64(): pd.Float64Dtype()}
        frame: pd.DataFrame = self.to_arrow().to_pandas(types_mapper=nullable.get)
        return frame

    def _rows(self) -> Rows:
        """One row: this answer."""
        return Rows(type(self), [self])  # type: ignore[arg-type]


class Listed(Tabular, Generic[One]):
    """Several of one shape, in order: a sequence, and a table with a row each. They are a struct's only field."""

    __slots__ = ()

    def __iter__(self) -> Iterator[One]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __getitem__(self, index: int) -> One:
        return self._all()[index]

    def _all(self) -> tuple[One, ...]:
        found: tuple[One, ...] = getattr(self, self._field().name)
        return found

    def _rows(self) -> Rows:
        return Rows(get_args(self._field().type)[0], self._all())

    def _field(self) -> FieldInfo:
        (only,) = fields(self)  # type: ignore[arg-type]
        return only


def _columns(
    shape: type[msgspec.Struct], rows: Sequence[Any], without: frozenset[str] = frozenset(), under: str = ""
) -> Iterator[tuple[str, type, list[Any]]]:
    """(name, kind, values) of each. A struct inside is several columns, of which `value` has the name of the struct."""
    for field, hint in get_type_hints(shape).items():
        if field in without:
            continue
        name = f"{under}_{field}" if under and field != "value" else under or field
        values = [None if row is None else getattr(row, field) for row in rows]
        kind = _kind(hint, values)
        if issubclass(kind, msgspec.Struct):
            yield from _columns(kind, values, under=name)
        else:
            yield name, kind, [_codes(value) if isinstance(value, tuple) else value for value in values]


def _kind(hint: Any, values: Sequence[Any]) -> type:
    """The type of a column, whether or not it may be null. What may be whole or not is whole when all values are."""
    if get_origin(hint) is tuple:
        return tuple
    kinds = set(get_args(hint) or (hint,)) - {NoneType}
    if kinds == {int, float}:
        return float if any(isinstance(value, float) for value in values) else int
    (kind,) = kinds
    return kind  # type: ignore[no-any-return]


def _codes(lacks: Sequence[Any]) -> list[str]:
    return [str(getattr(lack, "code", lack)) for lack in lacks]
