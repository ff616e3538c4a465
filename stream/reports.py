"""What Spark reports of a query's micro-batches, each as its JSON has it.

PySpark makes objects of a report by two hundred calls between its two processes, which was a tenth of all that the
driver's JVM did. The text of a report is one call.
"""

from __future__ import annotations

import json
from itertools import takewhile
from typing import Any

from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["Report", "last_report", "reports"]

Report = dict[str, Any]


def last_report(query: StreamingQuery) -> Report | None:
    """Of the last micro-batch; None before the first has ended."""
    told = query._jsq.lastProgress()
    return None if told is None else json.loads(told.json())


def reports(query: StreamingQuery, *, after: int) -> list[Report]:
    """Of the micro-batches with a number above `after`, oldest first: the last of them, as many as
    `spark.sql.streaming.numRecentProgressUpdates` says."""
    told = query._jsq.recentProgress()
    newest_first = (told[place] for place in reversed(range(len(told))))
    new = takewhile(lambda each: each.batchId() > after, newest_first)
    return [json.loads(each.json()) for each in new][::-1]
