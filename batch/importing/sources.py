"""The files of an import: found by name, known by content."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from glob import glob
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
from pyarrow import fs

from tallymark.errors import RawRefused, TallymarkError
from tallymark.raw.s3 import S3, is_s3

__all__ = ["Source", "content_of", "find_sources", "reading_source"]

_BLOCK: Final = 4_000_000
_FORMATS: Final = {
    "parquet": "parquet",
    "pq": "parquet",
    "csv": "csv",
    "tsv": "csv",
    "ndjson": "ndjson",
    "jsonl": "ndjson",
    "json": "ndjson",
}
_PACKED: Final = {"gz": "gzip", "zst": "zstd", "bz2": "bz2"}
_WILD: Final = frozenset("*?[")


class Source(NamedTuple):
    """A file. `packed`: how it is compressed as a whole, None: not."""

    name: str
    size: int
    format: str
    packed: str | None

    def open_file(self) -> pa.NativeFile:
        """For random access, as it is stored."""
        system, path = _place(self.name)
        return system.open_input_file(path)

    def open_stream(self) -> tuple[pa.NativeFile, pa.NativeFile]:
        """From the start: what is stored, whose `tell` says how much of it was read; and what that holds."""
        stored = self.open_file()
        return stored, pa.CompressedInputStream(stored, self.packed) if self.packed else stored


def find_sources(names: Sequence[str], *, format: str | None = None) -> list[Source]:
    """The files of these names, which may be patterns; on S3 too. In the order given, those of a pattern by name.

    Raises TallymarkError for a name that is no file, RawRefused where S3 refuses.
    """
    found = {source.name: source for name in names for source in _files(name, format)}
    return list(found.values())


def content_of(source: Source) -> str:
    """A digest of all of it, as it is stored: the same of a copy under another name."""
    digest = sha256()
    with reading_source(source), source.open_file() as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def reading_source(source: Source) -> Iterator[None]:
    """What pyarrow raises inside about the file becomes an error that names it."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise TallymarkError(f"{source.name} cannot be read: {_first_line(error)}") from None


def _files(name: str, format: str | None) -> list[Source]:
    wild = bool(_WILD & set(name))
    infos = _listed(name, wild=wild)
    if not infos:
        raise TallymarkError(f"there is no file {name}" + (", nor any that the pattern fits" if wild else ""))
    return [_source(each, size, format) for each, size in sorted(infos)]


def _listed(name: str, *, wild: bool) -> list[tuple[str, int]]:
    if not is_s3(name):
        found = map(Path, glob(name, recursive=True) if wild else [name])  # noqa: PTH207 - a pattern may begin with a /
        return [(str(each), each.stat().st_size) for each in found if _is_file(each, wild=wild)]
    folder = name[: min(i for i, letter in enumerate(name) if letter in _WILD)].rpartition("/")[0] if wild else name
    system, path = _place(folder)
    with _asking_s3(name):
        if not wild:
            info = system.get_file_info(path)
            return [(name, info.size)] if info.is_file else []
        infos = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    return [(f"s3://{one.path}", one.size) for one in infos if one.is_file and fnmatchcase(f"s3://{one.path}", name)]


def _is_file(path: Path, *, wild: bool) -> bool:
    if path.is_dir() and not wild:
        raise TallymarkError(f"{path} is a folder; write which files of it: '{path}/*.csv'")
    return path.is_file()


def _source(name: str, size: int, format: str | None) -> Source:
    stem, _, ending = name.rpartition(".")
    packed = _PACKED.get(ending)
    told = format or _FORMATS.get((stem.rpartition(".")[2] if packed else ending).lower())
    if told is None:
        raise TallymarkError(
            f"{name} does not say by its ending what it is; name it .parquet, .csv or .ndjson (and .gz, .zst or .bz2 "
            f'after the latter two), or put `format = "csv"` into the mapping'
        )
    return Source(name, size, told, packed)


def _place(name: str) -> tuple[Any, str]:
    if not is_s3(name):
        return fs.LocalFileSystem(), str(Path(name).absolute())
    s3 = S3.of(os.environ)
    options: dict[str, Any] = {"region": s3.region}
    if s3.endpoint:
        scheme, _, address = s3.endpoint.partition("://")
        options |= {"scheme": scheme, "endpoint_override": address.rstrip("/")}
    return fs.S3FileSystem(**options), name.removeprefix("s3://")


@contextmanager
def _asking_s3(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RawRefused(
            f"{S3.of(os.environ).name} does not list {name}: {_first_line(error)}; see the AWS_* variables"
        ) from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
