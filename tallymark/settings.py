"""Settings: one frozen object, built once at the door from TALLYMARK_* variables and an optional tallymark.toml.

The environment wins over the file, the file over the defaults. Nothing here is read at import. `Settings.load` raises
SettingsError with everything that is wrong at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tallymark import notation
from tallymark.errors import SettingsError
from tallymark.instants import length_ms
from tallymark.notation import Address, parse_duration

__all__ = ["Address", "Settings", "describe", "parse_duration"]

_PREFIX: Final = "TALLYMARK_"


def _setting(default: str, parse: Callable[[str], Any], says: str) -> Any:
    return field(default_factory=lambda: parse(default), metadata={"default": default, "parse": parse, "says": says})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting of every process. `Settings()` are the defaults; `Settings.load(os.environ)` is what users set."""

    home: Path = _setting("~/.tallymark", notation.path, "Folder of everything kept on this machine.")
    log: str = _setting(
        "sqlite:",
        notation.log_url,
        "Event log: `sqlite:` (a file in home), `sqlite:/path` or `kafka://host:port,…/topic`.",
    )
    kafka_properties: Path | None = _setting(
        "none", notation.optional_path, "File with further settings of Kafka clients (SASL, TLS); see operations."
    )
    schema_registry: str = _setting(
        "", str, "Schemas of Avro records that others write: a URL, or a folder of files `ID.avsc`; empty: none."
    )
    store: str = _setting(
        "sqlite:",
        notation.store_url,
        "View store: `sqlite:` (a file in home), `sqlite:/path` or `hbase://host:port,…?prefix=tallymark_`.",
    )
    raw: str = _setting("", notation.raw_place, "Raw events: a folder or `s3://bucket/path`; empty: `raw` in home.")
    lateness: timedelta = _setting(
        "30s",
        parse_duration,
        "An event that the log takes later than this after it occurred is late; hours are sealed without it.",
    )
    memory: timedelta = _setting(
        "10m", parse_duration, "For how long, by the log's clock, the speed layer knows an event's id again."
    )
    trigger: timedelta | None = _setting(
        "none",
        notation.optional_duration,
        "How often the speed layer counts what is new; none: every 500ms from files, every 750ms from Kafka.",
    )
    archive_trigger: timedelta = _setting("30s", parse_duration, "How often raw events are committed.")
    recount_every: timedelta | None = _setting(
        "1m", notation.pace, "How often `tallymark up` recounts what changed; `off` where a scheduler does it."
    )
    max_age: timedelta | None = _setting("none", notation.optional_duration, "Events older than this are refused.")
    max_ahead: timedelta = _setting("5m", parse_duration, "How far in the future a producer's clock may be.")
    audit_budget: float = _setting(
        "0.01", notation.share, "Part of a count that the speed layer may miss before the audit warns: 0.01 is 1 %."
    )
    api: Address = _setting("127.0.0.1:8400", notation.address, "Where the query API listens.")
    gateway: Address = _setting("127.0.0.1:8401", notation.address, "Where the gateway listens for events.")
    stream_metrics: Address = _setting(
        "127.0.0.1:8402", notation.address, "Where the stream tells Prometheus of its work."
    )
    tokens: frozenset[str] = _setting(
        "", notation.words, "Bearer tokens that may do everything, beside those of `tallymark tokens`."
    )
    token: str = _setting(
        "", str.strip, "The token that this machine's own commands bring; empty: one of `tokens`, or none."
    )
    origins: frozenset[str] = _setting(
        "",
        notation.origins,
        "Origins of pages that may send, as `https://example.org`, or `*`; empty: only the gateway's own.",
    )
    bots: frozenset[str] = _setting(
        "",
        notation.bot_lists,
        "Whose events are kept and not counted, by User-Agent: `known`, or files of regular expressions, one a line.",
    )
    max_body: int = _setting("8000000", notation.positive, "Largest body of a post, in bytes, after decompression.")
    max_batch: int = _setting("10000", notation.positive, "Most events in one post.")
    max_pending: int = _setting(
        "200000", notation.positive, "Events that may wait for the log before posts are answered 429."
    )
    max_pending_bytes: int = _setting(
        "128000000", notation.positive, "The same in bytes; also for the bodies that are being read."
    )
    max_wait: timedelta = _setting(
        "500ms", parse_duration, "How long a post may wait for its turn, or for the log, before posts are answered 429."
    )
    max_connections: int = _setting(
        "10000", notation.positive, "Connections of a server; beyond, the one that has rested longest is closed."
    )
    head_timeout: timedelta = _setting("10s", parse_duration, "How long a request's line and headers may take.")
    body_timeout: timedelta = _setting(
        "30s", parse_duration, "How long a body, or reading an answer, may take, and a second more for each 10 kB."
    )
    idle_timeout: timedelta = _setting("75s", parse_duration, "How long a connection may rest between two requests.")
    drain: timedelta = _setting(
        "0s", parse_duration, "How long a server that is to end still takes requests, while /readyz says 503."
    )
    gateway_workers: int = _setting("1", notation.positive, "Processes of the gateway that `tallymark up` starts.")
    keep: timedelta = _setting(
        "7d", parse_duration, "How long `maintain` keeps speed minutes and raw files that no version needs any more."
    )
    keep_versions: timedelta = _setting(
        "1h", parse_duration, "How long each version stays readable by as_of and rollback; then `maintain` thins them."
    )
    keep_hourly_versions: timedelta = _setting(
        "2d", parse_duration, "For how long the last version of an hour stays readable."
    )
    keep_daily_versions: timedelta = _setting(
        "30d", parse_duration, "For how long the last version of a day stays readable, with the speed minutes it needs."
    )
    metrics: Path | None = _setting(
        "none",
        notation.optional_path,
        "Folder for metrics of what cannot be asked for them, read by a node exporter; none: `metrics` in home.",
    )
    alert_webhook: str = _setting(
        "", notation.optional_url, "Where alerts are posted, as JSON with a `text`; empty: nowhere."
    )
    logs: str = _setting("text", notation.log_form, "How processes log: `text`, or `json`, an object a line.")
    recount_rows: int = _setting(
        "1000000", notation.positive, "Most raw rows that a task of the recount holds at once, at some 500 bytes each."
    )
    sql_memory: int = _setting(
        "500000000", notation.positive, "Most memory, in bytes, that a query in SQL takes before it goes on on disk."
    )
    spark_master: str = _setting("local[*]", str, "Spark master.")
    spark_memory: str = _setting("768m", str, "Heap of the Spark driver (with a local master: of all of Spark).")
    spark_jars: str = _setting("", str, "Jars for Spark: a folder, or files separated by commas; empty: none.")
    spark_partitions: int = _setting("2", notation.positive, "State partitions of the speed layer; fixed once started.")

    @classmethod
    def load(cls, environment: Mapping[str, str], file: Path | None = None) -> Settings:
        """`file` defaults to TALLYMARK_CONFIG, else tallymark.toml in the current folder if it is there."""
        named = environment.get(f"{_PREFIX}CONFIG")
        path = file or Path(named or "tallymark.toml")
        problems = [f"{path}: there is no such file"] if (file or named) and not path.is_file() else []
        given = _from_file(path, problems) | _from_environment(environment)
        known = {f.name: f for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, (text, where) in given.items():
            if name not in known:
                problems.append(f"{where}: there is no such setting; the settings are {', '.join(sorted(known))}")
                continue
            try:
                values[name] = known[name].metadata["parse"](text)
            except ValueError as error:
                problems.append(f"{where}: {error}")
        if problems:
            raise SettingsError(problems)
        return cls(**values)

    def environment(self) -> dict[str, str]:
        """The variables that make `load` return these settings: how a process hands them to its children."""
        return {f"{_PREFIX}{f.name.upper()}": _as_text(getattr(self, f.name)) for f in fields(self)}

    @property
    def raw_uri(self) -> str:
        return self.raw or str(self.home / "raw")

    @property
    def counting_interval(self) -> timedelta:
        """A micro-batch costs more from Kafka; answers are less than a second old with either (ADR 48)."""
        if self.trigger is not None:
            return self.trigger
        return timedelta(milliseconds=750 if self.log_is_kafka else 500)

    @property
    def log_is_kafka(self) -> bool:
        return self.log.startswith("kafka:")

    @property
    def spark_is_here(self) -> bool:
        """Whether Spark's executors run on this machine: local[*], local-cluster[…], spark://127.0.0.1:7077."""
        master = self.spark_master
        return master.startswith("local") or urlsplit(master).hostname in {"127.0.0.1", "localhost", "::1"}

    @property
    def metrics_folder(self) -> Path:
        return self.metrics or self.home / "metrics"

    @property
    def own_token(self) -> str | None:
        """What a command brings that sends or asks; None where it brings nothing."""
        return self.token or min(self.tokens, default=None)


def describe() -> list[tuple[str, str, str, str]]:
    """(name, variable, default, what it says) of each setting, for docs/settings.md and `tallymark doctor`."""
    return [
        (f.name, f"{_PREFIX}{f.name.upper()}", f.metadata["default"] or "(empty)", f.metadata["says"])
        for f in fields(Settings)
    ]


def _from_file(path: Path, problems: list[str]) -> dict[str, tuple[str, str]]:
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{path}: not TOML: {error}")
        return {}
    return {name: (_as_text(value), f"{name} in {path}") for name, value in table.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {
        variable.removeprefix(_PREFIX).lower(): (text, variable)
        for variable, text in environment.items()
        if variable.startswith(_PREFIX) and variable != f"{_PREFIX}CONFIG"
    }


def _as_text(value: Any) -> str:
    if isinstance(value, Address):
        return f"{value.host}:{value.port}"
    if isinstance(value, timedelta):
        return f"{length_ms(value)}ms"
    if isinstance(value, (frozenset, list)):
        return ",".join(sorted(map(str, value)))
    return "none" if value is None else str(value)
