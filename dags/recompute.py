"""The recount on a clock: each hour what is dirty, each night with time for much, and days again by a backfill."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from policy import EACH, PUBLISHED, tallymark, what

ABOUT = """
### What it is for
Recounts, exactly, the hours whose raw events changed, and publishes a new version. {when}

### Safe to rerun?
Yes, at any time. Another recount at the same time says who works and fails; the retry then finds nothing to do. One
that was killed is made good by the next. With nothing dirty it publishes nothing.

### What an alert means
No new version was published: answers stay right, but exact only until where they were. `tallymark versions` says why a
version was kept from readers.

### Who is told
The owner of the DAG, through the webhook in the setting `alert_webhook`.
"""
NIGHTLY = """It runs each night with hours of time. **Backfill**: a run for a date in the past counts that day again,
changed or not, which is needed only after counting itself was mended. The first three days of January, to midnight of
the 4th: `airflow backfill create --dag-id recompute --from-date 2026-01-01 --to-date 2026-01-04`."""
AGAIN = "{{ '--again ' ~ ds if dag_run.run_type == 'backfill' else '' }}"
# 99 skips: a run that published nothing is no news for those who wait for a version
WHEN_PUBLISHED = f"[ {what('recompute', 'published')} = True ] || exit 99"


def recompute(dag_id: str, *, schedule: str, doc_md: str, timeout: timedelta) -> DAG:
    with DAG(
        dag_id,
        schedule=schedule,
        **EACH,
        doc_md=doc_md,
    ) as dag:
        # the runs of a backfill would stand in each other's way
        arguments = f"recompute --json {AGAIN}"
        count = tallymark("recompute", arguments, execution_timeout=timeout, max_active_tis_per_dag=1)
        count >> BashOperator(task_id="published", bash_command=WHEN_PUBLISHED, outlets=[PUBLISHED])
    return dag


nightly = recompute("recompute", schedule="15 2 * * *", doc_md=ABOUT.format(when=NIGHTLY), timeout=timedelta(hours=6))
hourly = recompute(
    "recompute_hourly",
    schedule="10 * * * *",
    doc_md=ABOUT.format(when="It catches up every hour: what became exact, and what came late."),
    timeout=timedelta(minutes=50),
)
