"""How the canary makes known what it found: an alert when that changes, metrics in a file, a document in the store."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Final

from infra.canary.alert import alert
from infra.canary.memory import Memory
from tallymark.cli.textfile import Metric, write_metrics
from tallymark.documents.canary import CanaryRound, write_round
from tallymark.errors import TallymarkError
from tallymark.settings import Settings
from tallymark.store.open import open_store

__all__ = ["alert_on_change", "metrics_file", "record"]

_REMIND: Final = timedelta(minutes=15)
_log = logging.getLogger(__name__)


def alert_on_change(found: CanaryRound, memory: Memory, settings: Settings) -> None:
    """Alert at the first failing round, then every quarter of an hour, and once when all is well again."""
    source = f"canary {found.name}"
    if found.trouble is None:
        if memory.failing_since is not None:
            since = f"{memory.failing_since:%Y-%m-%d %H:%M:%S} UTC"
            alert(settings.alert_webhook, f"well again; it had failed since {since}", source=source, failing=False)
        memory.failing_since = memory.alerted_at = None
        return
    memory.failing_since = memory.failing_since or found.at
    if memory.alerted_at is not None and found.at - memory.alerted_at < _REMIND:
        return
    memory.alerted_at = found.at
    text = f"{found.part}: {found.trouble}"
    alert(settings.alert_webhook, text, source=source, failing=True, part=found.part, since=memory.failing_since)


def record(found: CanaryRound, memory: Memory, settings: Settings) -> None:
    """Metrics and document. A disk or a store that does not take them is logged: the alert is out by then."""
    try:
        write_metrics(metrics_file(settings, found.name), _metrics(found, memory), canary=found.name)
    except OSError as error:
        _log.error("the canary's metrics are not written: %s", error)
    try:
        store = open_store(settings)
        try:
            write_round(store, found)
        finally:
            store.close()
    except TallymarkError as error:
        _log.error("the canary's round is not on record: %s", error)


def metrics_file(settings: Settings, name: str) -> Path:
    """For the textfile collector of Prometheus' node exporter."""
    return settings.metrics_folder / f"canary-{name}.prom"


def _metrics(found: CanaryRound, memory: Memory) -> list[Metric]:
    behind = "How far the speed view was behind, as the answer said."
    known = [
        ("latency_seconds", "From acknowledgement to an answer with all events.", found.latency_ms),
        ("staleness_seconds", behind, found.freshness_ms),
    ]
    return [
        Metric("canary_well", "1 when the last round found nothing wrong.", found.well),
        Metric("canary_last_round_timestamp_seconds", "When the last round began.", found.at.timestamp()),
        *(Metric(f"canary_{name}", says, ms / 1000) for name, says, ms in known if ms is not None),
        Metric("canary_missing_events", "Events of the last round that were not counted in time.", found.missing),
        Metric("canary_rounds", "Rounds.", memory.rounds, total=True),
        Metric("canary_failed_rounds", "Rounds that found something wrong.", memory.failed, total=True),
        Metric("canary_sent_events", "Events that were acknowledged.", memory.total_sent, total=True),
        Metric(
            "canary_lost_events", "Acknowledged events that recounted hours do not have.", memory.total_lost, total=True
        ),
        Metric("canary_duplicated_events", "Events that were counted twice.", memory.total_duplicated, total=True),
    ]
