"""Airflow's own hook for settings in Python: it imports this module, by this name, when one of its processes starts."""

from __future__ import annotations

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

__all__: list[str] = []


@event.listens_for(Engine, "savepoint")
def begin_to_write(connection: Connection, _name: str) -> None:
    """Take SQLite's write lock where a transaction begins with a savepoint, as that of a backfill does.

    It reads first and writes then. When the scheduler writes in between, SQLite neither lets it go on nor waits:
    "database is locked" (https://sqlite.org/isolation.html). Where the lock is taken first, it waits.
    """
    driver = connection.connection.driver_connection
    if connection.dialect.name == "sqlite" and not getattr(driver, "in_transaction", True):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
