"""The audit from end to end: which hours, compared, explained, judged, kept, shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from batch.audit.bounds.renew import in_words, renew
from batch.audit.clocks import clocks
from batch.audit.comparison.scope import Scope, scope
from batch.audit.comparison.survey import Survey, survey, versions_table
from batch.audit.completeness.check import check_arrivals
from batch.audit.expectations import decide
from batch.audit.report import page
from batch.audit.storage import put, reports_uri
from tallymark.documents import audits as records
from tallymark.documents import publication
from tallymark.documents.audit_record import AuditRecord, Expected
from tallymark.documents.audits import Last
from tallymark.documents.evidence import Evidence
from tallymark.errors import NothingToRecount
from tallymark.instants import Minute, instant
from tallymark.raw import RawTable, RawVersion
from tallymark.settings import Settings
from tallymark.store import ViewStore

__all__ = ["audit"]

_HOURS_KEPT: Final = 24 * 14
_WORST: Final = 20
_VIDEOS: Final = 6
_HISTORY: Final = 60
_NO_RAW: Final = RawVersion(-1, (), None)


def audit(
    store: ViewStore,
    settings: Settings,
    *,
    now: Callable[[], datetime],
    start: datetime | None = None,
    until: datetime | None = None,
) -> AuditRecord:
    """Audit what was sealed or reopened since the last audit, or the hours of the asked range.

    Where there is nothing to compare and nothing amiss, nothing is kept and the number is 0. Raises StoreUnavailable,
    RawRefused or RawUnavailable; what was found until then is not kept, and the next audit finds it again.
    """
    started = now()
    last = records.last_audit(store)
    within = scope(store, last, start=start, until=until)
    table = RawTable(settings.raw_uri, known_to=store)
    arrived = check_arrivals(store, table, lateness=settings.lateness)
    raw = _pinned(table)
    evidence = renew(store, raw, memory=settings.memory, now=now())
    found = survey(store, within, raw.files, memory=settings.memory)
    before = last.checked_ms if last else 0
    complete = arrived and arrived.since(before)
    tables = {**found.tables(), "versions": versions_table(publication.history(store))} if found.figures else {}
    if arrived and (tables or arrived.lacks_since(before)):
        tables["completeness"] = arrived.table(before)
    expectations = []
    if tables:
        expectations = decide(tables, budget=settings.audit_budget, docs=settings.home / "audit" / "data-docs")
    record = _record(within, found, expectations, settings, started=started, finished=now(), evidence=evidence)
    record = msgspec.structs.replace(record, completeness=complete, clocks=clocks(raw.files, within.counted))
    if tables:
        record = _put_report(store, records.keep(store, record), found, settings)
    if start is None and until is None and within.at.version:
        number = record.number or (last.number if last else 0)
        checked_ms = arrived.settled_ms if arrived else before
        version, end = within.at.version, within.within.end
        records.move_on(store, Last(number=number, version=version, until=end, checked_ms=checked_ms))
    return record


def _pinned(table: RawTable) -> RawVersion:
    try:
        return table.pin()
    except NothingToRecount:  # then there are no cells either, or they are beyond the ledger
        return _NO_RAW


def _record(
    within: Scope,
    found: Survey,
    expectations: list[Expected],
    settings: Settings,
    *,
    started: datetime,
    finished: datetime,
    evidence: Evidence,
) -> AuditRecord:
    worst = sorted(found.differences, key=lambda one: (-abs(one.missing), one.cell))[:_WORST]
    return AuditRecord(
        number=0,
        verdict=_verdict(expectations),
        started_at=started,
        finished_at=finished,
        start=instant(Minute(min(found.hours, default=within.within.start))),
        until=instant(within.within.end),
        version=within.at.version,
        epoch=max(within.by_epoch, default=0),
        budget=settings.audit_budget,
        hours=len(found.hours),
        empty=found.empty,
        not_compared=[*within.not_compared, *found.not_compared],
        figures=found.total,
        causes=found.all_causes,
        by_type=found.by_type(),
        by_hour=found.by_hour()[-_HOURS_KEPT:],
        worst=worst,
        videos=_videos(found),
        lateness=dict(found.explained.lateness),
        expectations=expectations,
        bounds=in_words(evidence),
        not_counted=dict(found.marked.events),
    )


def _videos(found: Survey) -> list[tuple[str, int]]:
    events: Counter[str] = Counter()
    for one in found.differences:
        events[one.cell.video_id] += abs(one.missing)
    return events.most_common(_VIDEOS)


def _verdict(expectations: Sequence[Expected]) -> str:
    broken = [one for one in expectations if not one.holds]
    if not expectations:
        return "nothing"
    return "failed" if any(one.fails for one in broken) else "warned" if broken else "passed"


def _put_report(store: ViewStore, record: AuditRecord, found: Survey, settings: Settings) -> AuditRecord:
    uri = reports_uri(settings)
    name = f"audit-{record.number:08d}"
    whole = msgspec.structs.replace(record, by_hour=found.by_hour())
    put(uri, f"{name}.json", msgspec.json.format(msgspec.json.encode(whole)).decode())
    earlier = [one for one in records.latest(store, _HISTORY) if one.number < record.number]
    record = msgspec.structs.replace(record, report=put(uri, f"{name}.html", page(whole, earlier)))
    records.replace(store, record)
    return record
