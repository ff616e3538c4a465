"""The small documents of the view store. Each module owns one kind: its name, its struct, reading and writing it.

    publication, published/…    publication.py    what readers see, and what they saw
    progress/…, requests/…      progress.py       how far each layer has read the log, and who waits for it
    checkpoints/…               checkpoints.py    where the queries of the stream began
    dead-letters/…              dead_letters.py   records of the log that are no events
    attempts/…                  attempts.py       every recount that was tried
    audits/…, audited           audits.py         what audits found, and how far they have come
    evidence/current            evidence.py       how far counts grow until they are exact
    coverage/…                  coverage.py       what is known of events that never arrived
    canary/…                    canary.py         what the canary's last rounds found

A document of one version of Tallymark is read by the next: fields are added with a default, and never change.
"""

from __future__ import annotations

__all__ = [
    "attempts",
    "audit_record",
    "audits",
    "canary",
    "checkpoints",
    "coverage",
    "dead_letters",
    "evidence",
    "progress",
    "publication",
]
