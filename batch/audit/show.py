"""What `tallymark audit` prints: for people, or one JSON document."""

from __future__ import annotations

import msgspec
from rich.console import Console

from tallymark.documents.audit_record import AuditRecord, Completeness
from tallymark.instants import Minute, instant

__all__ = ["show_audit", "show_audit_json"]

_GAPS = 5

_VERDICT = {
    "passed": "passed",
    "warned": "passed with warnings: what differs is explained",
    "failed": "FAILED",
    "nothing": "nothing to compare",
}


def show_audit(record: AuditRecord) -> None:
    for line in _lines(record):
        Console().print(line, soft_wrap=True, highlight=False, markup=False)


def show_audit_json(record: AuditRecord) -> None:
    """The record but for its hours, which the report beside it lists."""
    fields = msgspec.to_builtins(record)
    del fields["by_hour"]
    print(msgspec.json.encode(fields).decode())


def _lines(record: AuditRecord) -> list[str]:
    of, why = record.figures, record.causes
    lines = [f"Audit {record.number or ''}".rstrip() + f": {_VERDICT[record.verdict]}"]
    if of.cells:
        lines += [
            f"  hours     {record.hours:,} compared, {record.empty:,} without events, of version {record.version}",
            f"  cells     {of.equal:,} equal, {of.differing:,} differing, {of.missing:,} missing, {of.extra:,} extra",
            f"  events    {of.batch:,} recounted; the speed view missed {of.under:,} ({of.missing_share:.3%}) and had "
            f"{of.over:,} too many",
            f"  causes    {why.duplicates:,} duplicates, {why.lost:,} lost, {why.unexplained:,} unexplained",
        ]
    if record.not_counted:
        by_reason = ", ".join(f"{events:,} {why}" for why, events in sorted(record.not_counted.items()))
        lines.append(f"  marked    kept and not counted: {by_reason}")
    lines += _arrived(record.completeness)
    lines += [f"  NOT COMPARED  {reason}" for reason in record.not_compared]
    for one in record.expectations:
        if not one.holds:
            lines.append(f"  {'FAILS' if one.fails else 'warns'}     {one.says}: {one.seen}")
    lines.append(f"  bounds    {record.bounds}")
    if record.report:
        lines.append(f"  report    {record.report}")
    return lines


def _arrived(found: Completeness | None) -> list[str]:
    if found is None or not found.rows:
        return []
    numbered = f"{found.numbered_share:.1%} of events are numbered, sequences: {found.producers:,}"
    lines = [f"  arrived   {numbered}; never came: {found.missing:,}, newly found: {found.found:,}"]
    lines += [
        f"  gap       {gap.producer} lacks {gap.last - gap.first + 1:,}, {gap.first} to {gap.last}, of between "
        f"{instant(Minute(gap.start)):%Y-%m-%d %H:%M} and {instant(Minute(gap.end)):%Y-%m-%d %H:%M} UTC"
        for gap in found.gaps[:_GAPS]
        if gap.new
    ]
    lines += [
        f"  silent    {one.producer} since {one.heard:%Y-%m-%d %H:%M} UTC, {one.expected:,.0f} events were expected"
        for one in found.silent
    ]
    return lines
