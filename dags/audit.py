"""The audit, whenever a new version was published."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from policy import EACH, PUBLISHED, tallymark, what

UNLESS_FAILED = f"[ {what('audit', 'verdict')} != failed ]"

with DAG(
    "audit",
    schedule=[PUBLISHED],  # not a clock: there is something to compare once hours were sealed
    **EACH,
    doc_md="""
### What it is for
Compares the speed view of every newly sealed hour with the batch view, writes a report, and learns how far fresh counts
are off.

### Safe to rerun?
Yes: an hour that is audited again gives the same result.

### What an alert means
Speed and batch differ by more than can be explained by late events and duplicates: look at the report before you trust
fresh counts; the exact part is not touched. Or events that producers numbered never arrived: the report names them.

### Who is told
The owner of the DAG, through the webhook in the setting `alert_webhook`.
""",
):
    # a verdict is no reason to try again: the next audit begins where this one ended, and would find nothing
    audit = tallymark("audit", "audit --json", also_well='"verdict":', execution_timeout=timedelta(minutes=30))
    audit >> BashOperator(task_id="verdict", bash_command=UNLESS_FAILED, retries=0)
