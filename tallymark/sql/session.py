"""A query, from its text to its rows: a database in memory that knows the tables which the query names, and no more.

The database is locked before the query's text comes near it: it opens no file and no address, loads no extension, sees
no variable of this process, and its configuration stays. Files are read for it, by `tallymark.raw`, so it has no key.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Self, TypeVar

import duckdb
import pyarrow as pa

from tallymark.documents import publication
from tallymark.documents.publication import Publication
from tallymark.errors import InvalidQuestion, TallymarkError
from tallymark.raw import RawTable, RawVersion
from tallymark.raw.damage import damaged_files
from tallymark.raw.dataset import COLUMNS, as_dataset
from tallymark.raw.errors import explaining
from tallymark.raw.files import table_of as table_uri
from tallymark.settings import Settings
from tallymark.sql.counts import GRAINS, columns_of, counts_in
from tallymark.sql.events import files_of, view_of
from tallymark.sql.narrow import Narrow
from tallymark.sql.statement import Statement, parse
from tallymark.store import ViewStore
from tallymark.store.open import open_store

__all__ = ["TIMEOUT", "Result", "answering", "table_of"]

TIMEOUT: Final = 300.0
_ROWS_AT_ONCE: Final = 10_000
_LOCKED: Final = {
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
_VERSIONS: Final = pa.schema(
    [
        *(pa.field(name, pa.int64()) for name in ("version", "raw_version", "epoch", "missing")),
        *(pa.field(n, pa.timestamp("us", tz="UTC")) for n in ("exact_until", "counted_until", "published_at")),
        pa.field("current", pa.bool_()),
    ]
)
_HUGE: Final = pa.decimal128(38, 0)
_OF_STORAGE: Final = "get_next failed"
Found = TypeVar("Found")


@dataclass(frozen=True)
class Result:
    """The rows of an answer, once, as batches of at most 10,000. `schema` knows each column by a name of its own."""

    schema: pa.Schema
    _next: Callable[[], pa.RecordBatch | None]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while (batch := self._next()) is not None:
            yield batch


@contextmanager
def answering(
    settings: Settings,
    query: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    as_of: int | None = None,
    timeout: float = TIMEOUT,
) -> Iterator[Result]:
    """What one SELECT finds in the tables of the system with these settings; its rows are read while inside.

    `parameters` are what `$name` in it stands for. `as_of`: counts as when this version was published. After `timeout`
    seconds it ends. Raises InvalidQuestion for what DuckDB or this package refuses, and for what takes more memory or
    time than it may; NothingToRecount without raw events; what the stores of raw events and views raise.
    """
    with ExitStack() as opened:
        runner = opened.enter_context(_Runner.within(settings, timeout, opened))
        given = dict(parameters or {})
        statement = parse(query, runner.ask, given)
        if statement.tables:
            store = opened.enter_context(closing(open_store(settings)))
            _Tables(runner, settings, store, as_of).offer(statement)
        yield runner.run(statement.text, given)


def table_of(result: Result, *, most_bytes: int) -> pa.Table:
    """All rows; whole numbers of 128 bits as int64, where all of a column fit into that.

    Raises InvalidQuestion when they are more than `most_bytes`.
    """
    batches, size = [], 0
    for batch in result:
        batches.append(batch)
        size += batch.nbytes
        if size > most_bytes:
            raise InvalidQuestion(
                f"the result is larger than {most_bytes:,} bytes (setting sql_memory): ask for less of it, or write it "
                f"to a file with `tallymark sql --parquet`",
                "sql",
            )
    table = pa.Table.from_batches(batches, schema=result.schema)
    for place, column in enumerate(table.schema):
        if column.type == _HUGE:
            with suppress(pa.ArrowInvalid):
                table = table.set_column(place, column.name, table.column(place).cast(pa.int64()))
    return table


@dataclass(frozen=True)
class _Runner:
    """One connection. DuckDB works in a thread of its own, so that whoever waits for it can be interrupted."""

    database: duckdb.DuckDBPyConnection
    deadline: float
    timeout: float
    memory: int
    files: list[str] = field(default_factory=list)
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    @classmethod
    @contextmanager
    def within(cls, settings: Settings, timeout: float, opened: ExitStack) -> Iterator[Self]:
        spill = opened.enter_context(tempfile.TemporaryDirectory(prefix="tallymark-sql-"))
        limits: dict[str, Any] = {"memory_limit": f"{settings.sql_memory}B", "temp_directory": spill}
        database = opened.enter_context(closing(duckdb.connect(":memory:", config=_LOCKED | limits)))
        for setting in ("TimeZone = 'UTC'", "enable_external_access = false", "lock_configuration = true"):
            database.execute(f"SET {setting}")
        database.begin()  # `now()` is the same in all of it
        runner = cls(database, time.monotonic() + timeout, timeout, settings.sql_memory)
        try:
            yield runner
        finally:
            database.interrupt()
            runner.thread.shutdown()

    def ask(self, query: str, parameters: Any = None) -> Any:
        """The one value that it gives."""
        return self.call(lambda: self.database.execute(query, parameters).fetchall()[0][0])

    def run(self, query: str, parameters: Mapping[str, Any]) -> Result:
        reader = self.call(lambda: self.database.execute(query, parameters or None).to_arrow_reader(_ROWS_AT_ONCE))
        names = reader.schema.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InvalidQuestion(f"two columns are called {', '.join(twice)}; tell them apart by AS", "sql")
        return Result(reader.schema, partial(self.call, lambda: next(reader, None)))

    def call(self, work: Callable[[], Found]) -> Found:
        """What `work` gives, unless it takes too long. What DuckDB raises becomes an error of ours."""
        running = self.thread.submit(work)
        try:
            return running.result(max(0.0, self.deadline - time.monotonic()))
        except TooLate:
            raise InvalidQuestion(
                f"it took longer than {self.timeout:g} s: name a day, a range of times or a video in its WHERE, or "
                f"give it more time (--timeout)",
                "sql",
            ) from None
        except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> TallymarkError:
        text = str(error)
        if "Out of Memory" in text or "max_temp_directory" in text:
            return InvalidQuestion(
                f"it needs more than {self.memory:,} bytes of memory: name a day, a range of times or a video in its "
                f"WHERE, or raise the setting sql_memory (TALLYMARK_SQL_MEMORY)",
                "sql",
            )
        if _OF_STORAGE in text and self.files:
            try:
                with explaining(table_uri(self.files[0]), damage=lambda _: damaged_files(self.files)):
                    raise error
            except TallymarkError as told:
                return told
            except Exception:  # noqa: BLE001 - nothing is wrong with the storage, so it is the query
                return InvalidQuestion(text, "sql")
        return InvalidQuestion(text, "sql")


@dataclass(frozen=True)
class _Tables:
    """The tables that a statement names, as far as it can need them."""

    runner: _Runner
    settings: Settings
    store: ViewStore
    as_of: int | None

    def offer(self, statement: Statement) -> None:
        raw: RawVersion | None = None
        seen: Publication | None = None
        for table, rows in statement.tables.items():
            if table in GRAINS:
                seen = seen or self._seen()
                self._offer_counts(table, rows, seen)
            elif table == "versions":
                self._keep(table, "*", [_versions(self.store)])
            else:
                raw = raw or RawTable(self.settings.raw_uri, known_to=self.store).pin()
                self._offer_raw(table, rows, raw)

    def _offer_raw(self, table: str, rows: Narrow, raw: RawVersion) -> None:
        files = [] if rows.is_empty else files_of(raw, rows)
        source = f"files_of_{table}"
        self.runner.files.extend(file.uri for file in files)
        self.runner.database.register(source, as_dataset(self.settings.raw_uri, files))
        self.runner.database.execute(f"CREATE TEMP VIEW {table} AS {view_of(table, source, COLUMNS.names, rows)}")

    def _offer_counts(self, table: str, rows: Narrow, seen: Publication) -> None:
        batches = counts_in(self.store, GRAINS[table], version=seen.version, sealed_until=seen.boundary, rows=rows)
        self._keep(table, columns_of(table), batches)

    def _seen(self) -> Publication:
        return publication.current(self.store) if self.as_of is None else publication.version(self.store, self.as_of)

    def _keep(self, table: str, columns: str, batches: Any) -> None:
        """A table of its own: a query may read it twice, and what does not fit into memory is spilled."""
        put = f"CREATE TEMP TABLE {table} AS SELECT {columns} FROM batch"
        for batch in batches:
            self.runner.call(partial(self._put, put, batch))
            put = f"INSERT INTO {table} SELECT {columns} FROM batch"

    def _put(self, query: str, batch: pa.RecordBatch) -> None:
        self.runner.database.register("batch", pa.Table.from_batches([batch]))
        self.runner.database.execute(query)
        self.runner.database.unregister("batch")


def _versions(store: ViewStore) -> pa.RecordBatch:
    current = publication.current(store)
    rows = [
        {name: getattr(past, name) for name in _VERSIONS.names if name != "current"} | {"current": past == current}
        for past in publication.history(store)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=_VERSIONS)
