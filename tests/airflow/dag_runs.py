"""Run by Airflow's own Python (see conftest.py), never by pytest: describes the DAGs, makes the runs that are named on
standard input, and prints JSON as last line."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.dag_processing.dagbag import DagBag

FOLDER = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
sys.path.append(FOLDER)  # as the processor does


def describe(bag: DagBag) -> dict[str, Any]:
    return {
        "errors": bag.import_errors,
        "dags": {
            name: {
                "tags": sorted(dag.tags),
                "doc": dag.doc_md or "",
                "catchup": dag.catchup,
                "max_active_runs": dag.max_active_runs,
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


def run(bag: DagBag, name: str, environment: dict[str, str]) -> dict[str, Any]:
    """One run of a DAG, without a scheduler; what is tried again is so after a second."""
    began = time.perf_counter()
    os.environ.update(environment)
    dag = bag.dags[name]
    for task in dag.tasks:
        task.retry_delay = timedelta(seconds=1)
        task.retry_exponential_backoff = False
    return _told(dag.test(logical_date=datetime.now(UTC))) | {"seconds": round(time.perf_counter() - began, 1)}


def _told(done: Any) -> dict[str, Any]:
    from airflow.utils.session import create_session

    with create_session() as session:
        tasks = done.get_task_instances(session=session)
        return {"state": str(done.state), "tasks": {t.task_id: [str(t.state), t.try_number] for t in tasks}}


if __name__ == "__main__":
    bag = DagBag(FOLDER)
    found = describe(bag)
    found["runs"] = [run(bag, each["dag"], each["environment"]) for each in json.load(sys.stdin)]
    print("\n" + json.dumps(found))
