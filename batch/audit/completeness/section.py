"""The report's part about what never arrived: holes in sequences, and producers that fell silent."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from batch.audit.tables import table, time
from tallymark.buckets import instant
from tallymark.documents.audit_record import Completeness, Gap, Unheard

__all__ = ["missing"]


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
            time(instant(gap.start)),
            time(instant(gap.end)),
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
