"""The examples of the OpenAPI description, made of the very types that answers are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from tallymark.client.audits import Audit, AuditedHour, Audits
from tallymark.client.questions import Function
from tallymark.client.wire import Answer, Answers, Coverage, GrainName, Interval, Point, Series, Stats, Versions
from tallymark.documents.publication import Publication

__all__ = ["EXAMPLES", "QUESTIONS"]

_START = datetime(2026, 1, 30, tzinfo=UTC)
_EXACT_UNTIL = datetime(2026, 1, 30, 22, tzinfo=UTC)
_ENVELOPE: dict[str, Any] = {
    "video_id": "ATL",
    "type": "view",
    "start": _START,
    "end": _START + timedelta(days=1),
    "exact": False,
    "exact_until": _EXACT_UNTIL,
    "version": 17,
    "epoch": 1,
    "freshness_ms": 1240,
    "late_pending": 0,
    "degraded": (),
    "coverage": Coverage(missing=0, silent=0, numbered=0.98, checked_until=_EXACT_UNTIL + timedelta(minutes=8)),
}
_ANSWER = Answer(**_ENVELOPE, function=Function.COUNT, value=1204, lower=1204, upper=1251, confidence=0.95)
_PUBLICATION = Publication(
    version=17,
    exact_until=_EXACT_UNTIL,
    raw_version=4031,
    epoch=1,
    published_at=_EXACT_UNTIL + timedelta(minutes=9),
)


_STATS = Stats(
    **_ENVELOPE,
    count=1204,
    sum=779_000,
    min=94,
    max=4502,
    mean=647.01,
    users=Interval(611, 600, 623),
    lower=1204,
    upper=1251,
    confidence=0.95,
)
_HOUR = timedelta(hours=1)
_POINTS = (
    Point(_EXACT_UNTIL - _HOUR, _EXACT_UNTIL, 58, True),
    Point(_EXACT_UNTIL, _EXACT_UNTIL + _HOUR, 49, False),
)
_SERIES = Series(**_ENVELOPE, function=Function.COUNT, grain=GrainName.HOUR, tz="Europe/Berlin", points=_POINTS)
_AUDITED = {"batch": 1204, "speed": 1188, "missed": 16, "surplus": 0, "unexplained": 0}
_AUDIT = Audit(
    number=5,
    verdict="warned",
    finished_at=_EXACT_UNTIL + timedelta(minutes=10),
    start=_EXACT_UNTIL - timedelta(hours=1),
    until=_EXACT_UNTIL,
    version=17,
    epoch=1,
    hours=1,
    empty=0,
    **_AUDITED,
    late=16,
    duplicates=0,
    lost=0,
    missing=0,
    silent=0,
    budget=0.01,
    bounds="answers state bounds with 95% confidence for view, from 168 hours",
    report="/var/lib/tallymark/reports/audit-00000005.html",
    not_compared=(),
    by_hour=(AuditedHour(start=_EXACT_UNTIL - timedelta(hours=1), **_AUDITED),),
)
_ALL = (_ANSWER, Answers((_ANSWER,)), _STATS, _SERIES, _PUBLICATION, Versions((_PUBLICATION,)), Audits((_AUDIT,)))

EXAMPLES: Final[dict[str, Any]] = {type(example).__name__: msgspec.to_builtins(example) for example in _ALL}
QUESTIONS: Final[dict[str, Any]] = {
    "questions": [
        {"video_id": "ATL", "type": "view", "function": "count", "last": "3mo", "tz": "Europe/Berlin"},
        {
            "video_id": "ATL",
            "type": "view",
            "function": "users",
            "start": "2026-01-30T00:00:00Z",
            "end": "2026-01-31T00:00:00Z",
        },
    ]
}
