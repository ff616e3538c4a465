"""What all DAGs have in common: whose they are, how often and how long they try, and who is told when they fail.

DAGs run `tallymark …` commands in a process of its own environment, and import nothing of it (ADR 40). RUN_TALLYMARK is
how the command is called; by default `tallymark`, from the PATH.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Any
from urllib.request import Request, urlopen

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset

PUBLISHED = Asset("tallymark://published")
"""A new version that readers see."""
_log = logging.getLogger(__name__)


def tell(context: dict[str, Any]) -> None:
    """Post a failure to TALLYMARK_ALERT_WEBHOOK. A webhook that is down changes nothing of the run."""
    webhook = os.environ.get("TALLYMARK_ALERT_WEBHOOK")
    if not webhook:
        return
    ti = context["task_instance"]
    text = f"airflow: {ti.dag_id}.{ti.task_id} failed ({context.get('exception')}), run {ti.run_id}"
    body = {"text": text, "source": f"dag {ti.dag_id}", "state": "failing", "run_id": ti.run_id}
    request = Request(webhook, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
    try:
        urlopen(request, timeout=5).close()  # noqa: S310 - the settings take http and https only
    except (OSError, HTTPException) as error:
        _log.error("the alert did not reach the webhook: %s", error)


DEFAULTS: dict[str, Any] = {
    "owner": "tallymark",
    "retries": 3,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=15),
    "execution_timeout": timedelta(hours=1),
    "on_failure_callback": tell,
}


EACH: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 1,
    "default_args": DEFAULTS,
    "tags": ["tallymark"],
}
"""What every DAG is made with."""


def tallymark(task_id: str, arguments: str, *, also_well: str = "", **options: Any) -> BashOperator:
    """A task that runs `tallymark ARGUMENTS` and returns the JSON document that it prints.

    `also_well`: the task succeeds also where the command fails, when that is in the document.
    """
    # last, after what went to standard error: the last line is what the operator takes
    script = f'said=$(${{RUN_TALLYMARK:-tallymark}} {arguments}); ended=$?; printf "%s\\n" "$said"; '
    if also_well:
        script += f"case \"$said\" in *'{also_well}'*) exit 0 ;; esac; "
    return BashOperator(task_id=task_id, bash_command=f"{script}exit $ended", output_processor=json.loads, **options)


def what(task_id: str, name: str) -> str:
    """A template of `name` in the document that a task returned."""
    return f"{{{{ ti.xcom_pull(task_ids='{task_id}')['{name}'] }}}}"
