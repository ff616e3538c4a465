"""Tallymark: counts for video platforms that say how true they are.

This package is the kernel: events, time, tallies, cells, publications, and the port to the view store. It imports no
Spark, Kafka, HBase, HTTP or S3 client. Names load when first used, so importing it costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tallymark.buckets import Bucket, Grain, Span, TimeRange
    from tallymark.cells import Cell, CellKey, CellSpan
    from tallymark.documents.progress import Progress
    from tallymark.documents.publication import Publication
    from tallymark.event import Event, decode, encode
    from tallymark.settings import Settings
    from tallymark.sketch import Sketch
    from tallymark.store import Attempt, Stamp, View, ViewStore
    from tallymark.tally import ZERO, Tally

__all__ = [
    "ZERO",
    "Attempt",
    "Bucket",
    "Cell",
    "CellKey",
    "CellSpan",
    "Event",
    "Grain",
    "Progress",
    "Publication",
    "Settings",
    "Sketch",
    "Span",
    "Stamp",
    "Tally",
    "TimeRange",
    "View",
    "ViewStore",
    "decode",
    "encode",
]

_HOMES: Final = {
    "buckets": ("Bucket", "Grain", "Span", "TimeRange"),
    "cells": ("Cell", "CellKey", "CellSpan"),
    "event": ("Event", "decode", "encode"),
    "documents.progress": ("Progress",),
    "documents.publication": ("Publication",),
    "settings": ("Settings",),
    "sketch": ("Sketch",),
    "store": ("Attempt", "Stamp", "View", "ViewStore"),
    "tally": ("ZERO", "Tally"),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tallymark' has no attribute {name!r}")
    return getattr(import_module(f"tallymark.{_HOME_OF[name]}"), name)
