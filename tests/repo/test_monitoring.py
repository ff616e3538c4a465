"""The alert rules and the dashboard speak of metrics that exist, and Prometheus takes the rules."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from infra.canary.memory import Memory
from infra.canary.notify import record
from serving.app import create_app as create_api
from stream.gateway.app import create_app as create_gateway
from stream.log.sqlite.log import SqliteLog
from stream.metrics import QueryMetrics
from tallymark.cli.textfile import with_metrics
from tallymark.documents import audits
from tallymark.documents.canary import CanaryRound
from tallymark.documents.coverage import DOCUMENT, Known, Share
from tallymark.settings import Settings
from tallymark.store.sqlite import SqliteViewStore
from tests.support import both_views as views
from tests.support.audit_records import an_audit

MONITORING = Path(__file__).parents[2] / "infra" / "monitoring"
DOCS = MONITORING.parents[1] / "docs"


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all metrics, as Prometheus would store them."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    store, log = SqliteViewStore(settings.home / "views.sqlite"), SqliteLog(settings.home / "log.sqlite")
    views.set_publication(store, views.END)
    for layer in ("speed", "archive"):
        views.set_progress(store, layer, views.NOW)
    share = [Share(views.START, views.END, rows=1, numbered=1)]
    store.write_document(DOCUMENT, Known(checked_until=views.NOW, share=share).to_json())
    streams = CollectorRegistry()
    QueryMetrics(streams)
    record(CanaryRound(name="x", at=datetime.now(UTC), latency_ms=1, freshness_ms=1), Memory(), settings)
    audits.keep(store, an_audit(version=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALLYMARK_METRICS", str(settings.metrics_folder))
        with_metrics("recompute", lambda: {"pairs": 1})()
    texts = [
        *(text_of(app) for app in (create_api(settings, store=store), create_gateway(settings, log=log))),
        "\n".join(f"# TYPE {name}" for family in streams.collect() for name in _stored(family)),
        *(path.read_text() for path in settings.metrics_folder.iterdir()),
    ]
    store.close()
    log.close()
    names = {name for text in texts for name in re.findall(r"^(?:# TYPE )?(tallymark_\w+)", text, re.MULTILINE)}
    return names | {f"{name}_bucket" for name in names} | {"up"}


def text_of(app: Any) -> str:
    from fastapi.testclient import TestClient

    return TestClient(app).get("/metrics").text


def _stored(family: Any) -> Iterator[str]:
    yield f"{family.name}_total" if family.type == "counter" else family.name


def named_in(expression: str) -> set[str]:
    return set(re.findall(r"\btallymark_\w+", expression))


def test_every_rule_is_about_metrics_that_exist(rules: list[dict[str, Any]], metrics: set[str]) -> None:
    for rule in rules:
        assert named_in(rule["expr"]) <= metrics, rule["alert"]


def test_every_rule_says_what_it_means_what_to_do_and_how_bad_it_is(rules: list[dict[str, Any]]) -> None:
    page = (DOCS / "upkeep.md").read_text()
    for rule in rules:
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"]
        assert rule["labels"]["severity"] in {"page", "warn"}
        assert f"`{rule['alert']}`" in page


def test_every_panel_of_the_dashboard_shows_metrics_that_exist(metrics: set[str]) -> None:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) >= 10
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            assert named_in(target["expr"]) <= metrics, panel["title"]


def test_prometheus_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed here: apt-get install prometheus brings it")
    command = [promtool, "check", "rules", MONITORING / "alerts.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
