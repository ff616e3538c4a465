"""What the API shows of audits, from the documents that the audit keeps."""

from __future__ import annotations

from typing import Final

import msgspec

from tallymark.client.audits import Audit, AuditedHour, Audits
from tallymark.documents import audits
from tallymark.documents.audit_record import AuditRecord, HourFigures
from tallymark.instants import Minute, instant
from tallymark.store import ViewStore

__all__ = ["MOST", "read_audits"]

MOST: Final = 100


def read_audits(store: ViewStore, limit: int) -> Audits:
    """The last `limit`."""
    return Audits(tuple(map(_shown, audits.latest(store, limit))))


def _shown(record: AuditRecord) -> Audit:
    own = {name: getattr(record, name) for name in Audit.__struct_fields__ if hasattr(record, name)}
    arrived = record.completeness
    return Audit(
        **own
        | {
            "not_compared": tuple(record.not_compared),
            "by_hour": tuple(map(_hour, record.by_hour)),
            "batch": record.figures.batch,
            "speed": record.figures.speed,
            "not_counted": sum(record.not_counted.values()),
            "missed": record.figures.under,
            "surplus": record.figures.over,
            "missing": None if arrived is None else arrived.missing,
            "silent": None if arrived is None else len(arrived.silent),
        }
        | msgspec.structs.asdict(record.causes)
    )


def _hour(hour: HourFigures) -> AuditedHour:
    return AuditedHour(
        start=instant(Minute(hour.hour)),
        batch=hour.batch,
        speed=hour.speed,
        missed=hour.under,
        surplus=hour.over,
        unexplained=hour.unexplained,
    )
