"""A round of the canary every minute, for those who do not run the canary as a service."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from policy import DEFAULTS, EACH, tallymark

with DAG(
    "canary",
    schedule="* * * * *",
    is_paused_upon_creation=True,  # `tallymark up --canary` does it more cheaply, and also while Airflow is down
    **EACH | {"default_args": DEFAULTS | {"retries": 0}},  # the next minute's round is the retry
    doc_md="""
### What it is for
Sends a few events through the gateway and sees that the API counts them within seconds. Paused at first: unpause it
where the canary does not run as a service.

### Safe to rerun?
Yes: each round sends new events, of videos that begin with `canary:`.

### What an alert means
Events do not come through, or are lost or counted twice; the alert names the part that showed it.

### Who is told
The owner of the DAG, through the webhook in the setting `alert_webhook`; the command itself posts there, too, when
things change.
""",
):
    tallymark("canary", "canary --once --json", execution_timeout=timedelta(seconds=55))
