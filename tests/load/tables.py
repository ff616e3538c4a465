"""The figures as tables in Markdown, which read well in a terminal too, and what of them is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["failures", "tables"]

MOST_SLOPE: Final = 1.0  # MB a minute
MOST_HALF_LOAD_P99_MS: Final = 50.0
MOST_BEYOND_P99_MS: Final = 1000.0  # of what is accepted at twice and three times the knee
MOST_GROWTH: Final = 1.5  # of files, from the first half of a soak to the second

Figures = Mapping[str, Any]


def tables(run: str, figures: Figures) -> list[str]:
    return list({"load": _load, "stress": _stress, "soak": _soak}[run](figures))


def failures(run: str, figures: Figures) -> list[str]:
    """A line for each thing that is not as it should be."""
    return list({"load": _load_failures, "stress": _stress_failures, "soak": _soak_failures}[run](figures))


def _load(figures: Figures) -> Iterator[str]:
    yield f"Accepted: {figures['accepted_events_per_s']:,} events/s of {figures['events_per_s']:,.0f} that were sent."
    yield ""
    yield from _table(
        ("", "half of them within", "99 of 100 within"),
        [
            ("a post of 200 events, until it is durable", *_two(figures["post_ms"])),
            ("a question", *_two(figures["question_ms"])),
            ("from acknowledged to counted, by questions", *_two(figures["fresh_after_ms"])),
            ("`freshness_ms`, as answers state it", *_two(figures["freshness_stated_ms"])),
            ("of these, the generator was late itself by", *_two(figures["sent_late_ms"])),
        ],
    )


def _load_failures(figures: Figures) -> Iterator[str]:
    yield from _unanswered(figures)
    if figures["refused"]:
        yield f"NOT AS IT SHOULD BE: {figures['refused']:.1%} of the posts were refused (429)"


def _stress(figures: Figures) -> Iterator[str]:
    knee, refused = figures["knee_events_per_s"], figures["most_refused"]
    yield f"The knee: {knee:,} events/s, the most of which no more than {refused:.0%} was refused."
    yield ""
    rows = [(f"{each['asked_events_per_s']:,}", each) for each in figures["steps"]]
    if figures["half"]:
        rows.append((f"{knee / 2:,.0f}, half of the knee", figures["half"]))
    rows += [(f"{each['asked_events_per_s']:,}, {each['knees']:g} × the knee", each) for each in figures["beyond"]]
    yield from _table(
        (
            "sent, events/s",
            "accepted",
            "refused: 429",
            "no answer",
            "accepted p50",
            "p99",
            "refusal p50",
            "question p99",
        ),
        [
            (
                sent,
                f"{each['accepted_events_per_s']:,}",
                f"{each['refused']:.0%}",
                f"{each['unanswered']:.0%}",
                *_two(each["post_ms"]),
                _two(each["refusal_ms"])[0],
                _two(each["question_ms"])[1],
            )
            for sent, each in rows
        ],
    )
    yield ""
    yield f"Accepted in all: {figures['accepted_events']:,}; in the log: {figures['events_in_the_log']:,}."


def _stress_failures(figures: Figures) -> Iterator[str]:
    if not figures["half"]:
        yield "NOT AS IT SHOULD BE: the first step was too much already; begin with fewer --events-per-s"
        return
    if (p99 := figures["half"]["post_ms"]["p99"]) > MOST_HALF_LOAD_P99_MS:
        yield f"NOT AS IT SHOULD BE: at half of the knee a post takes {p99} ms (p99), more than {MOST_HALF_LOAD_P99_MS}"
    for each in figures["beyond"]:
        sent = f"at {each['asked_events_per_s']:,} events/s"
        if not each["refused"]:
            yield f"NOT AS IT SHOULD BE: {sent} nothing was refused"
        if (p99 := each["post_ms"].get("p99", 0.0)) > MOST_BEYOND_P99_MS:
            yield f"NOT AS IT SHOULD BE: {sent} what was accepted took {p99} ms (p99), more than {MOST_BEYOND_P99_MS}"
    if figures["events_in_the_log"] < figures["accepted_events"]:
        yield "NOT AS IT SHOULD BE: events that were acknowledged are not in the log"


def _soak(figures: Figures) -> Iterator[str]:
    minutes, before = figures["seconds"] / 60, figures["warm_up"] / 60
    yield f"{minutes:.0f} minutes at {figures['accepted_events_per_s']:,} events/s, after {before:.0f} of warm-up."
    yield ""
    yield from _table(
        ("memory of", "first, MB", "last, MB", "MB a minute"),
        [
            (name, f"{each['first_mb']:,.0f}", f"{each['last_mb']:,.0f}", f"{each['slope_mb_per_min']:+.2f}")
            for name, each in figures["memory"].items()
            if each
        ],
    )
    yield ""
    yield from _table(
        ("in home", "files, first half", "second half", "MB, first half", "second half"),
        [
            (
                f"`{part}`",
                f"{each['files_first_half']:,.0f}",
                f"{each['files_second_half']:,.0f}",
                f"{each['mb_first_half']:,.1f}",
                f"{each['mb_second_half']:,.1f}",
            )
            for part, each in figures["home"].items()
        ],
    )
    yield ""
    yield from _table(
        ("minute", "accepted, events/s", "post p50", "post p99", "question p99", "counted after p50", "p99"),
        [
            (
                f"{each['until_s'] / 60:.0f}",
                f"{each['accepted_events_per_s']:,}",
                *_two(each["post_ms"]),
                _two(each["question_ms"])[1],
                *_two(each["fresh_after_ms"]),
            )
            for each in figures["by_minute"]
        ],
    )


def _soak_failures(figures: Figures) -> Iterator[str]:
    yield from _unanswered(figures)
    for name, times in figures["restarts"].items():
        if times:
            yield f"NOT AS IT SHOULD BE: {name} was started again {times} times; bench-results/load/logs says why"
    for name, each in figures["memory"].items():
        if each and each["slope_mb_per_min"] >= MOST_SLOPE:
            yield f"NOT AS IT SHOULD BE: {name} grows by {each['slope_mb_per_min']} MB a minute"
    for part, each in figures["home"].items():
        if part != "raw" and each["files_second_half"] > MOST_GROWTH * max(each["files_first_half"], 10):
            yield f"NOT AS IT SHOULD BE: {part} has {each['files_second_half']:.0f} files, and more and more"


def _unanswered(figures: Figures) -> Iterator[str]:
    if figures["unanswered"] or figures["failed"]:
        unanswered, failed = figures["unanswered"], figures["failed"]
        yield f"NOT AS IT SHOULD BE: {unanswered:.1%} of the posts without an answer, {failed} errors"
    if figures["probes_unseen"]:
        yield f"NOT AS IT SHOULD BE: {figures['probes_unseen']} probes were not counted within a minute"


def _two(percentiles: Mapping[str, float]) -> tuple[str, str]:
    p50, p99 = (_ms(percentiles[name]) if name in percentiles else "-" for name in ("p50", "p99"))
    return p50, p99


def _ms(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.1f} ms"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns of one width each; all but the first to the right."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for row in (head, rule, *rows):
        others = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        yield "| " + " | ".join([row[0].ljust(widths[0]), *others]) + " |"
