"""The audit: what the speed view said of the sealed hours, against what the recount says.

    scope         which hours, and with which epoch of the speed view they were sealed
      │
    compare       speed minutes summed to hours against batch hours: equal, differing, missing, extra
      │
    causes        of hours that differ: duplicates, lost, or not to be explained    (reads raw events)
      │
    completeness  events that producers numbered and that never arrived, and producers that fell silent: `coverage`
      │
    expectations  what may be: Great Expectations decides what warns and what fails
      │
    evidence      how far the count of a range grows until it is exact: bounds for answers
      │
    record, report, place    a document in the view store, a page to look at

`audit.run.audit` does all of it. Nothing that readers see changes but bounds and coverage.
"""

from __future__ import annotations

__all__ = ["command", "completeness"]
