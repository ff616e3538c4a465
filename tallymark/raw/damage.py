"""Which file of the raw table is damaged, once a library has failed over it: gone, cut, or overwritten.

Libraries often do not name the file, so each that they may have meant is looked at, here and only when something has
failed already. The one exception is an empty entry of the table's log, which a machine that lost its power may leave:
delta-rs takes it for a commit of nothing, and its rows would be missing without a word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tallymark.documents import publication
from tallymark.documents.checkpoints import first_checkpoint
from tallymark.documents.progress import ARCHIVE, read_progress
from tallymark.errors import Damaged
from tallymark.raw.errors import explained, is_raised_by_libraries
from tallymark.raw.files import PARTITIONS, table_of
from tallymark.raw.s3 import S3, is_s3

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

    from tallymark.store import ViewStore

__all__ = ["damaged_files", "damaged_log", "refuse_empty_entries", "refuse_missing_log", "strange_place"]

_LOG: Final = "_delta_log"
_ENTRY: Final = re.compile(r"(\d{20})\.json")
_CHECKPOINT: Final = re.compile(r"(\d{20})\.checkpoint\..*parquet")
_PLACE: Final = re.compile(rf"{PARTITIONS[0]}=([^/]+)/{PARTITIONS[1]}=([^/]+)/")
_NAMED: Final = 3
_GONE, _EMPTY, _CUT = "is gone", "is empty", "is cut or overwritten"


def damaged_files(uris: Sequence[str]) -> Damaged | None:
    """What is wrong with files of one table; None when each can be read. A file is read whole only if all look well."""
    if not uris:
        return None
    table = table_of(uris[0])
    files = _files_of(table)
    for trouble in (_on_the_outside, _on_the_inside):
        found = [(uri, how) for uri in uris if (how := trouble(files, uri.removeprefix(f"{table}/"), uri))]
        if found:
            return _of_files(table, found)
    return None


def damaged_log(uri: str, error: BaseException) -> Damaged | None:
    """What is wrong with the log of the table at `uri`, over which a library raised `error`; None when nothing is."""
    files = _files_of(uri)
    listed = _log_of(files)
    if not listed:
        return None
    names = {name for name, _ in listed}
    checkpoints = [name for name in names if _CHECKPOINT.fullmatch(name)]
    since = max((_version(name) for name in checkpoints), default=-1)
    hinted = _hinted(files) if "_last_checkpoint" in names else -1
    if hinted > since:
        return _of_entry(uri, f"{hinted:020d}.checkpoint.parquet", _GONE)
    for name in sorted(checkpoints):
        if _version(name) == since and not _reads(uri, partial(_read_checkpoint, files, name)):
            return _of_entry(uri, name, _CUT)
    sizes = {_version(name): size for name, size in listed if _ENTRY.fullmatch(name)}
    for number in range(since + 1, max(sizes, default=since) + 1):
        name = f"{number:020d}.json"
        how = _GONE if number not in sizes else _EMPTY if not sizes[number] else ""
        if how or not _reads(uri, partial(_read_entry, files, name)):
            return _of_entry(uri, name, how or _CUT)
    unreadable = str(error).startswith("Kernel error") and "Generic S3 error" not in str(error)
    return _of_entry(uri, "", "does not fit together") if unreadable else None


def refuse_empty_entries(uri: str) -> None:
    """Raises Damaged when an entry that is still read is empty. On S3 there are none: a put is whole or not at all."""
    if is_s3(uri):
        return
    folder = Path(uri, _LOG)
    files = {file.name: file for file in folder.iterdir()}
    since = max((_version(name) for name in files if _CHECKPOINT.fullmatch(name)), default=-1)
    for name in sorted(filter(_ENTRY.fullmatch, files)):
        with suppress(FileNotFoundError):  # old ones may be cleared away meanwhile
            if _version(name) > since and not files[name].stat().st_size:
                raise _of_entry(uri, name, _EMPTY)


def refuse_missing_log(uri: str, store: ViewStore) -> None:
    """Of a table that has no log: raises Damaged when `store` knows of rows in it. Otherwise nothing came there yet."""
    version, archived = publication.current(store).version, read_progress(store, ARCHIVE)
    begun = first_checkpoint(store, "archive")
    start = begun.start if begun else {}
    if version or (archived and any(at > start.get(partition, 0) for partition, at in archived.positions.items())):
        known = f"version {version} was counted from it" if version else "the archive has written there"
        how = f"is gone, although {known}: see whether its disk is there, and whether TALLYMARK_RAW names that table"
        raise _of_entry(uri, "", how)


def strange_place(uri: str, path: str, day: str | None, shard: int | None) -> Damaged:
    """The log names a file of a day or a shard that there is not."""
    return _of_entry(uri, "", f"says that {path} is of day {day!r} and shard {shard}, which there is not")


def _files_of(uri: str) -> FileSystem:
    """Paths are relative to the table at `uri`."""
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import PyFileSystem

    return PyFileSystem(DeltaStorageHandler(uri, S3.of(os.environ).for_delta() if is_s3(uri) else None))


def _on_the_outside(files: FileSystem, path: str, uri: str) -> str:
    """By existence, size and footer."""
    import pyarrow.parquet as pq

    if not (size := _size(files, path)):
        return _GONE if size is None else _EMPTY
    return "" if _reads(uri, lambda: pq.ParquetFile(files.open_input_file(path))) else _CUT


def _on_the_inside(_: FileSystem, __: str, uri: str) -> str:
    """By its columns, one after the other."""
    import polars as pl
    import pyarrow as pa

    from tallymark.raw.schema import LATER, ROW

    rows = pl.scan_parquet(
        uri,
        hive_partitioning=False,
        glob=False,
        storage_options=S3.of(os.environ).for_polars() if is_s3(uri) else None,
    )
    columns = pl.Schema(pa.schema(ROW))
    schema: list[pl.Schema] = []
    if not _reads(uri, lambda: schema.append(rows.collect_schema())):
        return _CUT
    columns = pl.Schema({name: kind for name, kind in columns.items() if name in schema[0] or name not in LATER})
    if strange := [name for name, kind in columns.items() if schema[0].get(name) != kind]:
        return f"is not as the archive writes files (columns {', '.join(strange)})"
    return "" if all(_reads(uri, rows.select(name).collect) for name in columns) else _CUT


def _reads(uri: str, read: Callable[[], Any]) -> bool:
    """Whether what it reads is whole. What it raises because the storage at `uri` fails comes through."""
    try:
        read()
    except BaseException as error:
        if not is_raised_by_libraries(error) or explained(uri, error):
            raise
        return False
    return True


def _size(files: FileSystem, path: str) -> int | None:
    info = files.get_file_info(path)
    return info.size if info.is_file else None


def _log_of(files: FileSystem) -> list[tuple[str, int]]:
    """(name, size) of each file of the log."""
    from pyarrow.fs import FileSelector

    found = files.get_file_info(FileSelector(_LOG, allow_not_found=True))
    return [(info.path.rpartition("/")[2], info.size) for info in found]


def _version(name: str) -> int:
    return int(name[:20])


def _hinted(files: FileSystem) -> int:
    """The version of the newest checkpoint, as the log's own hint has it; −1 when that is garbled: nobody needs it."""
    try:
        return int(msgspec.json.decode(_read(files, "_last_checkpoint"))["version"])
    except (msgspec.DecodeError, TypeError, KeyError, ValueError):
        return -1


def _read_entry(files: FileSystem, name: str) -> None:
    for line in _read(files, name).splitlines():
        if line:
            msgspec.json.decode(line, type=dict[str, Any])


def _read_checkpoint(files: FileSystem, name: str) -> None:
    import pyarrow.parquet as pq

    pq.ParquetFile(files.open_input_file(f"{_LOG}/{name}")).read()


def _read(files: FileSystem, name: str) -> bytes:
    with files.open_input_file(f"{_LOG}/{name}") as file:
        body: bytes = file.read()
    return body


def _of_files(table: str, found: Sequence[tuple[str, str]]) -> Damaged:
    places = sorted({place.groups() for uri, _ in found if (place := _PLACE.search(uri))})
    where = _some([f"{day} in shard {shard}" for day, shard in places])
    one = len(found) == 1
    it, its = ("it", "its") if one else ("them", "their")
    return Damaged(
        f"{'a file' if one else f'{len(found)} files'} of the raw table cannot be read: "
        f"{_some([f'{uri} {how}' for uri, how in found])}",
        touches=f"the events of {where}. Counts of that day, of the videos in that shard, stay as they were published; "
        f"no recount, audit or compaction that needs {it} comes through",
        remedy=f"put {it} back from a backup, under the same name. Without one, {its} events are lost: delete what is "
        f"left of {it}, take {it} out of the table with `DeltaTable({table!r}).repair()` of the Python package "
        f"deltalake, and recompute; those events are then counted no more",
    )


def _of_entry(uri: str, name: str, how: str) -> Damaged:
    return Damaged(
        f"the log of the raw table cannot be read: {uri}/{_LOG}{'/' if name else ''}{name} {how}",
        touches="everything that reads or writes the raw table, since the log says which files belong to it: recounts, "
        "audits, upkeep and the archive. Answers stay as they were published, fresh counts go on, and events wait in "
        "the event log",
        remedy="put it back from a backup, under the same name. The rows themselves lie in other files: without a "
        'backup, the log can be made again from those, as docs/operations.md says ("Damaged files")',
    )


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
