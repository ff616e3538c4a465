"""What the demo found, as values: shown as tables, or printed as one JSON document."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["Account", "Comparison", "Recount", "Replay", "Seam"]


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Events that were sent; `resent` of them once more. `included_after_s`: until both layers had the last one."""

    sent: int
    accepted: int
    resent: int
    seconds: float
    included_after_s: float


class Recount(msgspec.Struct, frozen=True, kw_only=True):
    """One `tallymark recompute`: `asked` exact answers were compared with the truth, `wrong` of them differed."""

    version: int
    exact_until: datetime
    seconds: float
    asked: int
    wrong: int


class Seam(msgspec.Struct, frozen=True, kw_only=True):
    """One answer over both views: `exact_part` from the batch view, `fresh_part` from the speed view."""

    video_id: str
    exact_part: int
    fresh_part: int
    stitched: int
    truth_so_far: int
    late_pending: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`speed`, `batch` and `truth` are about the range that was recounted; the last two about all of it."""

    video_id: str
    speed: int
    batch: int
    truth: int
    stitched: int
    truth_of_all: int


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """`well` when every exact answer was the truth. Speed's errors are by design, and counted here: `speed_off_by`
    events of `truth_events`, over all subjects, when their hours were sealed."""

    well: bool
    problems: list[str]
    replays: list[Replay]
    recounts: list[Recount]
    seam: list[Seam]
    comparison: list[Comparison]
    subjects: int
    speed_off_by: int
    speed_wrong_subjects: int
    truth_events: int
