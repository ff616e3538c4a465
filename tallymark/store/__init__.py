"""The port to where views are kept: versioned cells, small documents, compare-and-set.

Two implementations, one contract suite (tests/contract/test_view_store.py): SQLite in `sqlite`, HBase in `hbase`;
`open` takes the one that the settings name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from tallymark.buckets import Grain
    from tallymark.cells import Cell, CellKey, CellSpan, LateCell
    from tallymark.rows import PackedRow
    from tallymark.tally import Tally

__all__ = ["Attempt", "Stamp", "View", "ViewStore", "change_document"]


class View(StrEnum):
    SPEED = "speed"
    BATCH = "batch"


class Attempt(NamedTuple):
    """Version of a batch row: the number of the recount that wrote it, ≥ 1 (ADR 9)."""

    number: int


class Stamp(NamedTuple):
    """Version of a speed cell. The generations of an epoch put parts of a cell, which add up; within a generation the
    value of the highest micro-batch wins, whoever comes last (ADR 45)."""

    epoch: int
    generation: int
    micro_batch: int


class ViewStore(Protocol):
    """All methods raise StoreUnavailable when the store does not answer; a `put` that raised may be put again.

    Instances may be shared by threads.
    """

    @property
    def versions_kept(self) -> int | None:
        """Of how many attempts, counted from the newest, a row is surely there as each put it; None: of all."""
        ...

    def put(self, cells: Iterable[Cell], *, version: Stamp) -> int:
        """Store absolute totals in the speed view and return how many cells there were. Durable when it returns; the
        same put twice is one. A lower micro-batch than the stored one of its generation changes nothing."""
        ...

    def put_rows(self, rows: Iterable[PackedRow], *, version: Attempt) -> int:
        """Store rows of the batch view, each of them whole, and return how many there were. Durable when it returns;
        the same put twice is one. Rows in the order of their keys are put fastest."""
        ...

    def get(self, view: View, spans: Iterable[CellSpan], *, version: int, users: bool = True) -> dict[CellKey, Tally]:
        """The cells in `spans` that exist, each with the newest version ≤ `version` (an attempt, or an epoch, of which
        the parts of all generations are added up), in one round trip. Of the batch view that is what the newest row
        holds: what is not in it is not found, though an older one had it. With users=False the users, which are most
        of the bytes, are neither read nor returned."""
        ...

    def get_rows(self, keys: Iterable[bytes], *, version: int) -> dict[bytes, PackedRow]:
        """The rows of the batch view under these keys that exist, each with the newest version ≤ `version`."""
        ...

    def row_keys(self, shard: int, grain: Grain) -> Iterator[bytes]:
        """The keys of all rows of the batch view of one shard and grain, whichever version they are of, in order."""
        ...

    def prune(self, shard: int, *, keep: Sequence[int]) -> int:
        """Remove rows of the batch view of one shard that no reader of a version in `keep`, nor of a later one, can
        see, and return how many; 0 where the store lets go of old ones by itself."""
        ...

    def scan(self, view: View, shard: int, grain: Grain, *, version: int) -> Iterator[Cell]:
        """All cells of one shard and grain, in the order of their row keys, each as `get` would return it."""
        ...

    def remove(self, shard: int, grain: Grain, *, before: int) -> int:
        """Remove all cells of the speed view of one shard and grain in rows that start before epoch minute `before`,
        the start of a row, and return how many rows those were. For cells that nobody reads or puts any more: one that
        is put there again may or may not be found. It may be removed again, when it was cut short."""
        ...

    def put_late(self, cells: Iterable[LateCell], *, version: Stamp) -> int:
        """As `put`, of the speed view's late cells."""
        ...

    def get_late(
        self, video_id: str, type: str, *, since: int, until: int, version: int, users: bool = True
    ) -> list[LateCell]:
        """The late cells of a video and type that the log took in the steps from `since` to before `until`, by (step,
        minute), each with the newest epoch ≤ `version`, the parts of its generations added up."""
        ...

    def scan_late(self, shard: int, *, version: int) -> Iterator[LateCell]:
        """All late cells of one shard, each as `get_late` would return it, those of a video and type together."""
        ...

    def remove_late(self, shard: int, *, before: int) -> int:
        """As `remove`, of late cells: the rows of hours, of the log's time, that end by the start of step `before`."""
        ...

    def read_document(self, name: str) -> bytes | None: ...

    def read_documents(self, names: Sequence[str]) -> list[bytes | None]:
        """The documents of these names, in their order, in one round trip. Not a snapshot: others may write meanwhile,
        and each is read at some moment of the call."""
        ...

    def write_document(self, name: str, body: bytes) -> None:
        """Durable when it returns."""
        ...

    def swap_document(self, name: str, expected: bytes | None, body: bytes) -> bool:
        """Write `body` if the document is still `expected` (None: does not exist); False, and no change, if not."""
        ...

    def list_documents(self, prefix: str, *, after: str = "") -> list[tuple[str, bytes]]:
        """(name, body) of the documents whose name starts with `prefix` and is greater than `after`, by name."""
        ...

    def remove_documents(self, names: Iterable[str]) -> None:
        """Remove the documents of these names, whether or not they exist. For names that are never used again."""
        ...

    def close(self) -> None: ...


def change_document(store: ViewStore, name: str, change: Callable[[bytes | None], bytes | None]) -> None:
    """Put `change(stored)` in the place of a document (None: there is none), whoever else writes it meanwhile.

    `change` is asked again when somebody did; it returns None, or what is stored, when that is to stay.
    """
    while True:
        stored = store.read_document(name)
        new = change(stored)
        if new is None or new == stored or store.swap_document(name, stored, new):
            return
