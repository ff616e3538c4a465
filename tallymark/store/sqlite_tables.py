"""The tables of the embedded store, and what is asked of them. They have the columns of the HBase layout.

A batch row has a value for each version (attempt); a speed cell one for each epoch and generation, the one of the
highest micro-batch. Late cells have a table of their own, where those of a video and type lie by step. `users` is the
last column, and SQLite does not turn the pages of what is not asked for.
"""

from __future__ import annotations

from typing import Final

from tallymark.cells import SHARDS

__all__ = ["DOCUMENTS", "LAYOUT", "TABLES", "Query"]

LAYOUT: Final = f"layout 4, {SHARDS} shards".encode()
TABLES: Final = (
    """
CREATE TABLE IF NOT EXISTS batch (
    row BLOB NOT NULL, version INTEGER NOT NULL, numbers BLOB NOT NULL, users BLOB, PRIMARY KEY (row, version)
) WITHOUT ROWID
""",
    """
CREATE TABLE IF NOT EXISTS speed (
    row BLOB NOT NULL, offset INTEGER NOT NULL, version INTEGER NOT NULL, generation INTEGER NOT NULL,
    micro_batch INTEGER NOT NULL, tally BLOB NOT NULL, users BLOB, PRIMARY KEY (row, offset, version, generation)
) WITHOUT ROWID
""",
    """
CREATE TABLE IF NOT EXISTS late (
    head BLOB NOT NULL, step INTEGER NOT NULL, minute INTEGER NOT NULL, version INTEGER NOT NULL,
    generation INTEGER NOT NULL, micro_batch INTEGER NOT NULL, tally BLOB NOT NULL, users BLOB,
    PRIMARY KEY (head, step, minute, version, generation)
) WITHOUT ROWID
""",
)
DOCUMENTS: Final = "CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID"
_NEWEST: Final = "version = (SELECT max(version) FROM batch AS other WHERE other.row = batch.row AND version <= ?)"


class Query:
    """SQL by what it is for; `{users}` is `users`, or NULL where they are not asked for."""

    PUT_ROWS: Final = """
INSERT INTO batch VALUES (?1, {version:d}, ?2, ?3)
ON CONFLICT DO UPDATE SET numbers = excluded.numbers, users = excluded.users
"""
    PUT: Final = """
INSERT INTO {table} VALUES ({marks}) ON CONFLICT DO UPDATE
SET tally = excluded.tally, users = excluded.users, micro_batch = excluded.micro_batch
WHERE excluded.micro_batch >= {table}.micro_batch
"""
    ROWS: Final = f"SELECT row, numbers, {{users}} FROM batch WHERE row >= ? AND row <= ? AND {_NEWEST} ORDER BY row"
    SCAN_ROWS: Final = f"""
SELECT row, numbers, users FROM batch WHERE row >= ? AND row < ? AND substr(row, -5, 1) = ? AND {_NEWEST} ORDER BY row
"""
    SEVERAL_VERSIONS: Final = """
SELECT row, group_concat(version) FROM batch WHERE row >= ? AND row < ? GROUP BY row HAVING count(*) > 1
"""
    PRUNE: Final = "DELETE FROM batch WHERE row = ? AND version = ?"
    ROW_KEYS: Final = (
        "SELECT DISTINCT row FROM batch WHERE row >= ? AND row < ? AND substr(row, -5, 1) = ? ORDER BY row"
    )
    # versions come in order, so that the newest is the last of a cell
    CELLS: Final = """
SELECT row, offset, version, tally, {users} FROM speed
WHERE (row, offset) >= (?, ?) AND (row, offset) <= (?, ?) AND version <= ? ORDER BY row, offset, version
"""
    SCAN: Final = """
SELECT row, offset, version, tally, users FROM speed
WHERE row >= ? AND row < ? AND substr(row, -5, 1) = ? AND version <= ? ORDER BY row, offset, version
"""
    LATE: Final = """
SELECT head, step, minute, version, tally, {users} FROM late
WHERE head = ? AND step >= ? AND step < ? AND version <= ? ORDER BY step, minute, version
"""
    SCAN_LATE: Final = """
SELECT head, step, minute, version, tally, users FROM late
WHERE head >= ? AND head < ? AND version <= ? ORDER BY head, step, minute, version
"""
    REMOVE_LATE: Final = "DELETE FROM late WHERE head = ?1 AND step >= ?2 * ?3 AND step < (?2 + 1) * ?3"
    OLD_LATE: Final = "SELECT DISTINCT head, step / ? FROM late WHERE head >= ? AND head < ? AND step < ?"
    OLD_ROWS: Final = """
SELECT DISTINCT row FROM speed WHERE row >= ? AND row < ? AND substr(row, -5, 1) = ? AND substr(row, -4) < ?
"""
