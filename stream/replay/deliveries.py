"""Events in the order in which they were delivered, each with the instant of its delivery: what a replay sends."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tallymark.errors import MalformedEvent, TallymarkError
from tallymark.event import Event, decode

__all__ = ["Delivery", "between", "lines_of", "parse"]


class Delivery(NamedTuple):
    """`delivered_at_ms` in epoch milliseconds; a late event is delivered long after it occurred."""

    delivered_at_ms: int
    event: Event


def lines_of(source: str) -> Iterator[bytes]:
    """The lines of a file (decompressed when its name ends in .gz), or of standard input for `-`."""
    if source == "-":
        yield from sys.stdin.buffer
        return
    try:
        with gzip.open(source) if source.endswith(".gz") else Path(source).open("rb") as lines:
            yield from lines
    except (OSError, EOFError, zlib.error) as error:
        raise TallymarkError(f"cannot read {source}: {error}") from error


def parse(lines: Iterable[bytes], source: str) -> Iterator[Delivery]:
    """Events from NDJSON, blank lines left out; `source` is what errors call it.

    A file does not say when its events were delivered: each counts as delivered as soon as it had occurred, and those
    before it had been delivered. Raises TallymarkError at the first line that is no event.
    """
    delivered_at = 0
    for number, line in enumerate(lines, start=1):
        if line.isspace():
            continue
        try:
            event = decode(line)
        except MalformedEvent as problem:
            raise TallymarkError(f"{source}, line {number} is not an event: {problem}") from None
        delivered_at = max(delivered_at, event.occurred_at)
        yield Delivery(delivered_at, event)


def between(deliveries: Iterable[Delivery], start_ms: int | None, end_ms: int | None) -> Iterator[Delivery]:
    """Those that were delivered in [`start_ms`, `end_ms`); None is no bound."""
    for delivery in deliveries:
        if end_ms is not None and delivery.delivered_at_ms >= end_ms:
            return
        if start_ms is None or delivery.delivered_at_ms >= start_ms:
            yield delivery
