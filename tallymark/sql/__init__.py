"""Questions in SQL, by DuckDB, over what is kept (ADR 63). Nothing else imports duckdb.

statement   what a query names, and what is refused before DuckDB sees it
narrow      of which videos and hours it can find anything: nothing else is read
events      `raw` and `events`: the raw table's files of one version
counts      `counts_hour` and `counts_day`: the batch view at one version
session     a locked database in memory: the tables that a query names, its rows, its limits
output      the rows as a table, CSV, JSON, Parquet or Arrow
command     `tallymark sql`
"""

from __future__ import annotations

__all__ = ["command", "session"]
