"""What Hypothesis draws from: events, tallies, times and cells as they can really occur."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from msgspec import structs

from tallymark.buckets import Bucket, Grain, Span, TimeRange
from tallymark.cells import Cell
from tallymark.documents.publication import Publication
from tallymark.event import MAX_VALUE, Event
from tallymark.instants import minute_of
from tallymark.sketch import Sketch
from tallymark.tally import Tally

# machines that run the tests are busy: a slow example is no failing example
quick = settings(deadline=None, max_examples=40)
thorough = settings(deadline=None, max_examples=120)

FIRST = minute_of(datetime(2000, 1, 1, tzinfo=UTC))
LAST = minute_of(datetime(2100, 1, 1, tzinfo=UTC))

grains = st.sampled_from(Grain)
minutes = st.integers(FIRST, LAST - 1)
types = st.builds(str.__add__, st.sampled_from("avz"), st.text("abcdefghijklmnopqrstuvwxyz0123456789_", max_size=31))
# everything but control characters and lone surrogates, which UTF-8 cannot hold
ids = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=256)
attributes = st.dictionaries(types, st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=128), max_size=16)
values = st.integers(-MAX_VALUE, MAX_VALUE)
users = st.none() | st.integers(0, 400).map("u{}".format)
instants = st.integers(FIRST * 60_000_000, LAST * 60_000_000 - 1).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
some_videos = st.sampled_from(["a", "ab", "b", "ü/?#%"])


@st.composite
def ranges(draw: st.DrawFn, longest: int = 400 * 1440) -> TimeRange:
    """Ranges of whole minutes, short and long, many with an end on the edge of an hour, a day or a month."""
    start = draw(grains).floor(draw(minutes))
    end = draw(grains).floor(start + draw(st.integers(0, longest)))
    return TimeRange(start, max(start, end))


@st.composite
def spans(draw: st.DrawFn, grain: st.SearchStrategy[Grain] = grains, most: int = 70) -> Span:
    """Runs of up to `most` buckets, so that they pass over a border of rows in every grain but the month."""
    of = draw(grain)
    start = end = of.floor(draw(minutes))
    for _ in range(draw(st.integers(1, most))):
        end = of.next(end)
    return Span(of, start, end)


@st.composite
def buckets(draw: st.DrawFn) -> Bucket:
    return Bucket.containing(draw(minutes), draw(grains))


@st.composite
def events(
    draw: st.DrawFn,
    start: int = FIRST,
    length: int = 180,
    videos: st.SearchStrategy[str] = some_videos,
) -> Event:
    """Events in `length` minutes from epoch minute `start`, few enough videos and types that cells are shared."""
    return Event(
        event_id=f"e{draw(st.integers(0, 10**9))}",
        type=draw(st.sampled_from(["view", "like", "watched_time"])),
        video_id=draw(videos),
        occurred_at=start * 60_000 + draw(st.integers(0, length * 60_000 - 1)),
        value=draw(st.just(1) | st.integers(-5, 1000) | values),
        user_id=draw(users),
        not_counted=draw(st.sampled_from([None, None, None, None, "bot", "test"])),
    )


@st.composite
def logs(draw: st.DrawFn, start: int = FIRST, length: int = 180, most: int = 60) -> list[Event]:
    """What a log may hold, in its order: events as they arrive, some of them sent again later, with or without a mark
    and else unchanged."""
    fresh = draw(st.lists(events(start, length), max_size=most))
    resent = draw(st.lists(st.sampled_from(fresh), max_size=most // 4)) if fresh else []
    log = list(fresh)
    for event in resent:
        copy = structs.replace(event, not_counted=draw(st.sampled_from([event.not_counted, None, "bot"])))
        log.insert(draw(st.integers(log.index(event), len(log))), copy)
    return log


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    """Tallies as they come from events, and some with sums past 64 bits."""
    if draw(st.booleans()):
        return Tally.total(Tally.of(event) for event in draw(st.lists(events(), max_size=5)))
    low = draw(values)
    count = draw(st.integers(1, 2**62))
    sketch = Sketch.of(f"u{n}" for n in range(draw(st.integers(0, 1) | st.integers(0, 900))))
    return Tally(count, draw(st.integers(-(2**80), 2**80)), low, low + draw(st.integers(0, 2**41)), sketch)


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    return Cell(draw(ids), draw(types), draw(buckets()), draw(tallies()))


@st.composite
def publications(draw: st.DrawFn) -> Publication:
    exact_until = draw(instants).replace(minute=0, second=0, microsecond=0)
    return Publication(
        version=draw(st.integers(1, 10**6)),
        exact_until=exact_until,
        raw_version=draw(st.integers(0, 10**6)),
        epoch=draw(st.integers(0, 1000)),
        published_at=exact_until + timedelta(milliseconds=draw(st.integers(0, 10**9))),
    )
