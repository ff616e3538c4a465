"""What the tasks of a recount do, wherever they run.

    count    the kernel: raw files in, minute tallies out
    slices   hours of a shard, or a part of one: counted, and their minute rows put
    stored   what the published version has in rows that an attempt touches
    rollup   hour, day and month rows above what the slices of a shard counted

None of it is loaded where nothing is dirty.
"""

from __future__ import annotations

__all__ = ["count", "rollup", "slices", "stored"]
