"""What a canary remembers from round to round, in a file on its own machine: it must work while the store does not.

It knows how many events it sent in each hour, by video, so that an hour which was recounted can be compared; and the
last minute, of which later rounds see whether it stayed as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from tallymark.documents.canary import CanaryRound

__all__ = ["Memory", "Seen"]

_HOURS: Final = 48


class Seen(msgspec.Struct, frozen=True):
    """A minute (epoch) of the canary, with the counts that its videos had when the round ended."""

    minute: int
    counts: dict[str, int]


class Memory(msgspec.Struct, kw_only=True):
    """`sent` by hour (start in epoch minutes) and video; None: not known. Totals are since the first round."""

    rounds: int = 0
    failed: int = 0
    total_sent: int = 0
    total_lost: int = 0
    total_duplicated: int = 0
    failing_since: datetime | None = None
    alerted_at: datetime | None = None
    last: Seen | None = None
    sent: dict[int, dict[str, int | None]] = {}
    judged: dict[str, int] = {}  # the last hour of each video that was compared

    @classmethod
    def read(cls, path: Path) -> Memory:
        """A canary that has lost its memory begins anew."""
        with suppress(FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return msgspec.json.decode(path.read_bytes(), type=cls)
        return cls()

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".new")
        scratch.write_bytes(msgspec.json.encode(self))
        scratch.replace(path)

    def note_sent(self, hour: int, counts: Mapping[str, int | None]) -> None:
        """Add to what was sent in `hour`; None: it may or may not have been taken."""
        so_far = self.sent.setdefault(hour, {})
        for video, count in counts.items():
            before = so_far.get(video, 0)
            so_far[video] = None if before is None or count is None else before + count
        for old in sorted(self.sent)[:-_HOURS]:
            del self.sent[old]

    def unjudged(self, video: str, *, before: int) -> tuple[int, int] | None:
        """(hour, events) of the earliest hour that starts before `before` and was not compared yet."""
        for hour in sorted(self.sent):
            events = self.sent[hour].get(video)
            if self.judged.get(video, -1) < hour < before and events is not None:
                return hour, events
        return None

    def note_round(self, found: CanaryRound) -> None:
        self.rounds += 1
        self.failed += not found.well
        self.total_sent += found.sent
        self.total_lost += found.lost
        self.total_duplicated += found.duplicated
