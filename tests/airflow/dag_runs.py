"""Run by Airflow's own Python (see conftest.py), never by pytest: loads or runs the DAGs, and prints JSON as last line.

dag_runs.py describe | run DAG
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.dag_processing.dagbag import DagBag

FOLDER = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
sys.path.append(FOLDER)  # as the processor does


def dags() -> DagBag:
    return DagBag(FOLDER)


def describe() -> dict[str, Any]:
    bag = dags()
    return {
        "errors": bag.import_errors,
        "dags": {
            name: {
                "tags": sorted(dag.tags),
                "doc": dag.doc_md or "",
                "catchup": dag.catchup,
                "max_active_runs": dag.max_active_runs,
                "schedule": str(dag.schedule),
                "tasks": {
                    task.task_id: {
                        "owner": task.owner,
                        "retries": task.retries,
                        "backoff": bool(task.retry_exponential_backoff),
                        "timeout": task.execution_timeout.total_seconds() if task.execution_timeout else None,
                        "told": bool(task.on_failure_callback),
                        "command": getattr(task, "bash_command", ""),
                    }
                    for task in dag.tasks
                },
            }
            for name, dag in bag.dags.items()
        },
    }


def run(name: str) -> dict[str, Any]:
    """One run of a DAG, without a scheduler; what is tried again is so after a second."""
    dag = dags().dags[name]
    for task in dag.tasks:
        task.retry_delay = timedelta(seconds=1)
        task.retry_exponential_backoff = False
    return _told(dag.test(logical_date=datetime.now(UTC)))


def _told(done: Any) -> dict[str, Any]:
    from airflow.utils.session import create_session

    with create_session() as session:
        tasks = done.get_task_instances(session=session)
        return {"state": str(done.state), "tasks": {t.task_id: [str(t.state), t.try_number] for t in tasks}}


if __name__ == "__main__":
    action, *arguments = sys.argv[1:]
    print("\n" + json.dumps({"describe": describe, "run": run}[action](*arguments)))
