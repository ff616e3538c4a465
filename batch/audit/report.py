"""The report: one page of HTML that holds all it needs, to be looked at on a screen, a phone, or paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from batch.audit.html import bars, line, table, time
from tallymark.documents.audit_record import AuditRecord, Clock, Completeness, Difference, Gap, HourFigures, Unheard
from tallymark.instants import Minute, instant

__all__ = ["missing", "page"]


def missing(found: Completeness | None) -> list[str]:
    """HTML, in the order in which people should read it."""
    if found is None:
        return ["<p>Not known: the archive has not told how far it has come.</p>"]
    body = [f"<p>{_summary(found)}</p>", f'<p class="soft">{_covered(found)}</p>']
    if found.gaps:
        body.append(_gaps(found.gaps))
    if found.silent:
        body.append(_silent(found.silent))
    if found.chaotic:
        some = ", ".join(map(escape, found.chaotic[:5])) + (" …" if len(found.chaotic) > 5 else "")
        body.append(f'<p class="warn">The numbers of {some} are no sequence, so nothing can be told of them.</p>')
    return body


def _summary(found: Completeness) -> str:
    if not found.missing and not found.silent:
        return "No number is missing, and no producer is silent."
    new = f"newly found: {found.found:,}" if found.found else "all of them known before"
    holes = f"Events that producers numbered and that never arrived: {found.missing:,}, {new}." if found.missing else ""
    silent = f"Producers that fell silent: {len(found.silent):,} of {found.expected:,}." if found.silent else ""
    return f"{holes} {silent}".strip()


def _covered(found: Completeness) -> str:
    share = found.numbered_share
    if share is None:
        return f"Nothing had arrived by {time(found.checked_until)} UTC."
    return (
        f"Looked through until {time(found.checked_until)} UTC, by the log's clock: {share:.2%} of the events carry a "
        f"number; sequences: {found.producers:,}. Only among these can a gap be found. Producers of which it is known "
        f"how much they send: {found.expected:,}."
    )


def _gaps(gaps: Sequence[Gap]) -> str:
    rows = [
        [
            f'<div class="id">{escape(gap.producer)}</div>',
            f"{gap.first:,}" if gap.first == gap.last else f"{gap.first:,} to {gap.last:,}",
            f"{gap.last - gap.first + 1:,}",
            time(instant(Minute(gap.start))),
            time(instant(Minute(gap.end))),
            '<span class="bad">new</span>' if gap.new else "known",
        ]
        for gap in gaps
    ]
    return table(["producer", "numbers", "missing", "between", "and", ""], rows)


def _silent(silent: Sequence[Unheard]) -> str:
    rows = [
        [f'<div class="id">{escape(one.producer)}</div>', time(one.heard), f"{one.expected:,.0f}"] for one in silent
    ]
    return table(["silent producer", "last heard", "expected since"], rows)


_STYLE: Final = Path(__file__).parent / "page.css"
_MOST_POINTS: Final = 300
_SAYS: Final = {
    "passed": "Everything that is expected holds.",
    "warned": "Some of what is expected does not hold, and each case is explained.",
    "failed": "Something does not hold that has no explanation, or must never happen. Look into it.",
    "nothing": "There was nothing to compare.",
}


def page(record: AuditRecord, earlier: Sequence[AuditRecord]) -> str:
    """The report of `record`, all of whose hours are in by_hour; `earlier` audits lengthen the plot over time."""
    title = f"Audit {record.number}"
    body = [
        f'<h1>{title}<span class="badge {record.verdict}">{record.verdict}</span></h1>',
        f"<p>{_SAYS[record.verdict]}</p>",
        f'<p class="soft">The speed view against version {record.version}, hours from {time(record.start)} to '
        f"{time(record.until)} UTC. Made {time(record.finished_at)} UTC.</p>",
        _tiles(record),
        *(f'<p class="warn">Not compared: {escape(one)}.</p>' for one in record.not_compared),
        "<h2>What is expected</h2>",
        _expectations(record),
        *(_compared(record, earlier) if record.figures.cells else []),
        "<h2>Did everything arrive?</h2>",
        *missing(record.completeness),
        *_clocks(record.clocks),
        *_not_counted(record.not_counted),
        "<h2>Bounds of answers</h2>",
        f"<p>{escape(record.bounds[:1].upper() + record.bounds[1:])}.</p>",
        '<p class="soft">Missing: events that the recount counts and the speed view does not. Late: they came behind '
        "the watermark. Duplicate: a copy with another time was taken for an event of its own. Lost: nothing of the "
        "cell is stored, or the speed view began anew within the hour. What else there is has no explanation.</p>",
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}: {record.verdict}</title><style>{_STYLE.read_text()}</style></head><body>"
    )
    return "\n".join([head, *body, "</body></html>\n"])


def _clocks(clocks: Sequence[Clock]) -> list[str]:
    if not clocks:
        return []
    rows = [
        [
            f'<div class="id">{escape(one.producer) or "none named"}</div>',
            f"{one.events:,}",
            _length(one.median_ms),
            _length(one.max_ms),
            f"{one.twice:,}",
        ]
        for one in clocks
    ]
    return [
        "<h2>Clocks that are ahead</h2>",
        "<p>These events were set back by as much as the clock was ahead that sent them.</p>",
        table(["producer", "events", "ahead by, median", "at most", "counted in two hours"], rows),
    ]


def _not_counted(by_reason: Mapping[str, int]) -> list[str]:
    if not by_reason:
        return []
    most_first = sorted(by_reason.items(), key=lambda one: (-one[1], one[0]))
    return [
        "<h2>Kept and not counted</h2>",
        "<p>These events are marked as such. They are among the raw events, and in neither view.</p>",
        table(["why", "events"], [[escape(why), f"{events:,}"] for why, events in most_first]),
    ]


def _compared(record: AuditRecord, earlier: Sequence[AuditRecord]) -> list[str]:
    return [
        "<h2>Where the error lies</h2>",
        _plots(record, earlier),
        "<h2>By type</h2>",
        _by_type(record),
        "<h2>The cells that differ most</h2>",
        _worst(record.worst),
    ]


def _tiles(record: AuditRecord) -> str:
    of = record.figures
    tiles = [(f"{record.hours:,}", "hours compared" + (f", {record.empty:,} without events" if record.empty else ""))]
    if of.cells:
        tiles += [
            (f"{of.cells:,}", f"cells, {of.equal / of.cells:.2%} equal"),
            (f"{of.batch:,}", "events by the recount"),
            (f"{of.missing_share:.3%}", f"missing in speed: {of.under:,}"),
            (f"{of.over:,}", "events too many in speed"),
            (f"{record.causes.unexplained:,}", "unexplained"),
        ]
    if record.completeness is not None:
        tiles.append((f"{record.completeness.missing:,}", "numbered events that never arrived"))
    return '<div class="tiles">' + "".join(f'<div class="tile"><b>{n}</b>{s}</div>' for n, s in tiles) + "</div>"


def _expectations(record: AuditRecord) -> str:
    rows = []
    for one in record.expectations:
        word, mark = ("holds", "good") if one.holds else ("fails", "bad") if one.fails else ("warns", "warn")
        rows.append([f'<span class="{mark}">{word}</span>', escape(one.says), f'<span class="soft">{one.seen}</span>'])
    return table(["", "expectation", "seen"], rows, style="words")


def _plots(record: AuditRecord, earlier: Sequence[AuditRecord]) -> str:
    known = {one.hour: one for audit in (*earlier, record) for one in audit.by_hour}
    hours = [known[hour] for hour in sorted(known)]
    budget = record.budget
    late = list(record.lateness.items())
    figures = [
        (
            "Missing over time",
            line(_overtime(hours), says="share missing over time", x=_hour, y=_share, limit=budget),
            f"The part of the count that the speed view missed, dashed: the budget, {budget:.2%}.",
        ),
        (
            "By hour of the day",
            bars(_by_hour_of_day(hours), says="share missing by hour of the day", y=_share, every=4, limit=budget),
            "UTC, all hours of the plot above.",
        ),
        (
            "Worst videos",
            bars([(_short(name), events) for name, events in record.videos], says="missing events by video", y=_count),
            "Events by which the views differ, hour by hour.",
        ),
        (
            "How late events came",
            bars(late, says="raw rows by lateness", y=_count),
            "Rows of the hours that differ, by how long after they occurred the log took them.",
        ),
    ]
    cards = (f"<figure><h3>{h}</h3>{svg}<figcaption>{text}</figcaption></figure>" for h, svg, text in figures)
    return f'<div class="plots">{"".join(cards)}</div>'


def _overtime(hours: Sequence[HourFigures]) -> list[tuple[float, float]]:
    """(hour, share missing), neighbours together where there are many."""
    step = -(-len(hours) // _MOST_POINTS) or 1
    groups = [hours[at : at + step] for at in range(0, len(hours), step)]
    return [(group[0].hour, _missing(group)) for group in groups]


def _by_hour_of_day(hours: Sequence[HourFigures]) -> list[tuple[str, float]]:
    return [
        (f"{of_day:02d}", _missing([one for one in hours if one.hour // 60 % 24 == of_day])) for of_day in range(24)
    ]


def _missing(hours: Sequence[HourFigures]) -> float:
    return sum(one.under for one in hours) / max(1, sum(one.batch for one in hours))


def _by_type(record: AuditRecord) -> str:
    head = ["type", "events", "missing", "share", "too many", "duplicates", "lost", "unexplained"]
    rows = [
        [
            escape(one.type),
            *(f"{n:,}" for n in (one.figures.batch, one.figures.under)),
            f"{one.figures.missing_share:.3%}",
            *(f"{n:,}" for n in (one.figures.over, one.causes.duplicates, one.causes.lost)),
            f"{one.causes.unexplained:,}",
        ]
        for one in record.by_type
    ]
    return table(head, rows)


def _worst(worst: Sequence[Difference]) -> str:
    rows = [
        [
            f'<div class="id">{escape(one.cell.video_id)}</div>',
            escape(one.cell.type),
            time(instant(Minute(one.cell.hour))),
            *("none" if n is None else f"{n:,}" for n in (one.batch, one.speed)),
        ]
        for one in worst
    ]
    return table(["video", "type", "hour", "recount", "speed"], rows) if rows else "<p>All cells are equal.</p>"


def _hour(minute: float) -> str:
    return f"{instant(Minute(int(minute))):%m-%d %H:%M}"


def _length(ms: int) -> str:
    """250 ms, 1.5 s, 12 min, 3.2 h, 8,766 h."""
    for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms >= size:
            return f"{ms / size:,.1f} {unit}"
    return f"{ms} ms"


def _share(value: float) -> str:
    return f"{value:.3g}" if value > 1 else f"{value * 100:.3g} %"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value < 10_000 else f"{value / 1000:,.0f} k"


def _short(video_id: str) -> str:
    return video_id if len(video_id) <= 8 else f"{video_id[:7]}…"
