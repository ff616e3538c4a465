"""Upkeep, once a week."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from policy import EACH, tallymark

with DAG(
    "maintain",
    schedule="30 4 * * 0",
    **EACH,
    doc_md="""
### What it is for
Compacts small raw files, deletes those that are long out of the table, and removes old minutes of the speed view and
versions beyond the settings `keep_versions`, `keep_hourly_versions` and `keep_daily_versions`.

### Safe to rerun?
Yes, also beside the archive and a recount. What it had done before it was killed stays done.

### What an alert means
Nothing urgent: reads of raw events get slower, and the stores grow. The command says what stood in its way.

### Who is told
The owner of the DAG, through the webhook in the setting `alert_webhook`.
""",
):
    tallymark("maintain", "maintain --json", execution_timeout=timedelta(hours=4))
