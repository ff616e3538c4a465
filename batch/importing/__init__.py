"""History from files, straight into raw: `tallymark import` (ADR 58).

mapping   which column is which field of an event, as a TOML file says
sources   the files, on disk and on S3, known by their content
readers   rows of a file, in order, from any of them on
columns   rows become events, whole columns at once; what is not obviously one goes through `tallymark.event.decode`
load      portions of events become files of the raw table, and commits, each exactly once
"""

from __future__ import annotations

__all__: list[str] = []
