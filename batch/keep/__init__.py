"""`tallymark keep-exact`: counts become exact by themselves, while `tallymark up` runs (ADR 51).

    command       the process, its niceness, and its end
      │
    keeper        every `recount_every`: recount; then the audit and the upkeep, each at its own pace
      │
    looks         recount only when something may have changed, and never over a rollback
      │
    commits       what the log has and raw does not: the archive is asked for it, and waited for
      │
    recount       one recount with the settings, as `tallymark recompute` does it too

A recount by hand asks only right after the first post, when it would find nothing yet.
"""

from __future__ import annotations

__all__ = ["command"]
