"""Raw events for the benchmark of the recount: a day of views, likes and shares."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from deltalake import write_deltalake

from tallymark.cells import shard_of

__all__ = ["DAY_MS", "popularity", "write_raw"]

DAY_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00Z
_HOURS_MS: Final = 24 * 3_600_000
_NOON_MS: Final = 12 * 3_600_000
_HOUR_MS: Final = 3_600_000
_VIDEOS: Final = 100_000
_EVEN: Final = 1000
_USERS: Final = 500_000
_COMMITS: Final = 5


def popularity(traffic: str) -> npt.NDArray[np.float64]:
    """Each video's share of the events. `zipf`: few videos have most; `even`: a thousand
    alike. `hot`: one has nine tenths, the others even."""
    if traffic == "zipf":
        weights = 1 / np.arange(1, _VIDEOS + 1) ** 1.05
    else:
        weights = np.repeat([1.0, 0.0], [_EVEN, _VIDEOS - _EVEN])
        weights[0] = 9 * (_EVEN - 1) if traffic == "hot" else 1
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares


def write_raw(folder: Path, events: int, *, traffic: str = "zipf", seed: int = 1) -> int:
    """Write `events` and 2 % of them again, a minute later in the log, in five commits; returns how many rows."""
    random = np.random.default_rng(seed)
    videos = random.choice(_VIDEOS, size=events, p=popularity(traffic))
    occurred = DAY_MS + random.integers(0, _HOURS_MS, size=events)
    if traffic == "hot":  # the video has all its events in the hour before one o'clock
        occurred = np.where(videos == 0, DAY_MS + _NOON_MS + occurred % _HOUR_MS, occurred)
    order = np.argsort(occurred)
    videos, occurred = videos[order], occurred[order]
    names = pl.Series([f"video-{number:06d}" for number in range(_VIDEOS)])
    shards = np.array([shard_of(name) for name in names], dtype=np.int32)
    rows = pl.DataFrame(
        {
            "event_id": [f"{number:032x}" for number in range(events)],
            "type": np.array(["view", "like", "share"])[random.choice(3, size=events, p=[0.8, 0.15, 0.05])],
            "video_id": names.gather(videos),
            "occurred_at": occurred,
            "value": random.integers(1, 1000, size=events),
            "user_id": np.char.add("user-", random.integers(0, _USERS, size=events).astype(str)),
            "producer_id": pl.Series([None] * events, dtype=pl.String),
            "seq": pl.Series([None] * events, dtype=pl.Int64),
            "appended_at": occurred + 1000,
            "log_partition": np.zeros(events, dtype=np.int32),
            "log_offset": np.arange(events),
            "day": pl.Series(["2026-01-01"] * events),
            "shard": shards[videos],
        }
    )
    again = rows.sample(fraction=0.02, seed=seed).with_columns(
        appended_at=pl.col("appended_at") + 60_000, log_offset=pl.col("log_offset") + events
    )
    everything = pl.concat([rows, again]).sort("occurred_at")
    for part in everything.iter_slices(len(everything) // _COMMITS + 1):
        write_deltalake(str(folder), part.to_arrow(), mode="append", partition_by=["day", "shard"])
    return len(everything)
