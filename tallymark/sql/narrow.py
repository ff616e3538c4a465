"""Of which videos and hours a condition of a query can find anything. Everything else need not be read.

A condition that is not understood narrows nothing: what is read may be too much, and never too little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, Protocol

from tallymark.instants import DAY_MS, HOUR_MS

__all__ = ["ALL", "NOTHING", "Constants", "Narrow", "narrowed_by"]

Node = Mapping[str, Any]
_EVER: Final = 1 << 62
_EQUAL: Final = "COMPARE_EQUAL"
_AT_LEAST: Final = "COMPARE_GREATERTHANOREQUALTO"
_AT_MOST: Final = "COMPARE_LESSTHANOREQUALTO"
_MIRRORED: Final = {
    "COMPARE_GREATERTHAN": "COMPARE_LESSTHAN",
    "COMPARE_LESSTHAN": "COMPARE_GREATERTHAN",
    _AT_LEAST: _AT_MOST,
    _AT_MOST: _AT_LEAST,
    _EQUAL: _EQUAL,
}
_STEP_MS: Final = {"occurred_at": 1, "start": 1, "day": DAY_MS}
"""Columns that are times: how far two values of one lie apart at least."""


@dataclass(frozen=True)
class Narrow:
    """`videos`: None are all. `since`, `until`: epoch ms, half-open."""

    videos: frozenset[str] | None = None
    since: int = -_EVER
    until: int = _EVER

    def __and__(self, other: Narrow) -> Narrow:
        videos = self.videos if other.videos is None else other.videos
        if self.videos is not None and other.videos is not None:
            videos = self.videos & other.videos
        return Narrow(videos, max(self.since, other.since), min(self.until, other.until))

    def __or__(self, other: Narrow) -> Narrow:
        """What holds all of both."""
        videos = None if self.videos is None or other.videos is None else self.videos | other.videos
        if self.is_empty or other.is_empty:
            return other if self.is_empty else self
        return Narrow(videos, min(self.since, other.since), max(self.until, other.until))

    @property
    def is_empty(self) -> bool:
        return self.since >= self.until or self.videos == frozenset()

    @property
    def hours(self) -> tuple[int, int]:
        """`since` and `until` outward to whole hours: copies of an event are all in one of them."""
        return self.since // HOUR_MS * HOUR_MS, -(-self.until // HOUR_MS) * HOUR_MS

    @property
    def is_bounded(self) -> bool:
        return self.since > -_EVER or self.until < _EVER


ALL: Final = Narrow()
NOTHING: Final = Narrow(frozenset())


class Constants(Protocol):
    """What expressions without columns are; None of one that is not known."""

    def text(self, node: Node) -> str | None: ...

    def us(self, node: Node) -> int | None:
        """Epoch microseconds."""
        ...


def narrowed_by(condition: Node | None, *, name: str, constants: Constants) -> Narrow:
    """What rows of the table that is called `name` may fulfil `condition`, a WHERE as DuckDB parses it."""
    if condition is None:
        return ALL
    kind = condition["type"]
    if kind == "CONJUNCTION_AND":
        each = (narrowed_by(child, name=name, constants=constants) for child in condition["children"])
        return reduce(Narrow.__and__, each, ALL)
    if kind == "COMPARE_IN":
        column, *values = condition["children"]
        return reduce(
            Narrow.__or__, (_compared(_name_of(column, name), _EQUAL, value, constants) for value in values), NOTHING
        )
    if kind == "COMPARE_BETWEEN":
        column = _name_of(condition["input"], name)
        return _compared(column, _AT_LEAST, condition["lower"], constants) & _compared(
            column, _AT_MOST, condition["upper"], constants
        )
    if kind in _MIRRORED:
        left, right = condition["left"], condition["right"]
        return _compared(_name_of(left, name), kind, right, constants) & _compared(
            _name_of(right, name), _MIRRORED[kind], left, constants
        )
    return ALL


def _compared(column: str | None, kind: str, value: Node, constants: Constants) -> Narrow:
    if column == "video_id" and kind == _EQUAL:
        video = constants.text(value)
        return ALL if video is None else Narrow(frozenset({video}))
    if column not in _STEP_MS or (at_us := constants.us(value)) is None:
        return ALL
    step, step_us = _STEP_MS[column], _STEP_MS[column] * 1000
    at = at_us // step_us * step
    if kind == "COMPARE_LESSTHAN":
        return Narrow(until=-(-at_us // step_us) * step)
    return Narrow(since=-_EVER if kind == _AT_MOST else at, until=at + step if kind in {_AT_MOST, _EQUAL} else _EVER)


def _name_of(node: Node, table: str) -> str | None:
    """The column that the node is, of the table that is called so."""
    if node["class"] != "COLUMN_REF":
        return None
    *of, name = (part.lower() for part in node["column_names"])
    return name if not of or of == [table] else None
