"""Settings: one frozen object, built once at the door from TALLYMARK_* variables and an optional tallymark.toml.

The environment wins over the file, the file over the defaults. Nothing here is read at import. `Settings.load` raises
SettingsError with everything that is wrong at once.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from tallymark.errors import SettingsError

__all__ = ["Address", "Settings", "describe", "parse_duration"]

_PREFIX: Final = "TALLYMARK_"
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_HOSTS: Final = r"[^/,?]+:\d+(,[^/,?]+:\d+)*"
_KAFKA = re.compile(rf"kafka://{_HOSTS}/[A-Za-z0-9._-]+")
_HBASE = re.compile(rf"hbase://{_HOSTS}(\?prefix=[A-Za-z0-9_]*)?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min|m|h|d)")


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


def parse_duration(text: str) -> timedelta:
    """`90s`, `2m` = `2 min`, `1.5h`, `7d`, `250ms`. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a duration; write for example 90s, 2m, 24h or 7d")
    try:
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    except OverflowError:
        raise ValueError(f"{text!r} is longer than a duration can be; write for example 7d") from None


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text!r} is not an address; write host:port, for example 127.0.0.1:8400")
    return Address(host or "127.0.0.1", int(port))


def _optional_duration(text: str) -> timedelta | None:
    return parse_duration(text) if text and text != "none" else None


def _raw(text: str) -> str:
    if "://" in text and not text.startswith("s3://"):
        raise ValueError(f"{text!r} is not a place for raw events; write a folder or s3://bucket/path")
    return text


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number from 1")
    return int(text)


def _share(text: str) -> float:
    if not re.fullmatch(r"0(\.\d+)?|1(\.0+)?", text):
        raise ValueError(f"{text!r} is not a share from 0 to 1; write for example 0.01")
    return float(text)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.replace(",", " ").split())


def _at_most_60(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 60:
        raise ValueError(f"{text!r} is not a whole number from 1 to 60")
    return int(text)


def _optional_url(text: str) -> str:
    if text and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", text):
        raise ValueError(f"{text!r} is not an address to post to; write for example https://chat.example/hooks/1")
    return text


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"{text!r} starts with a user who does not exist; write the folder out") from None


def _optional_path(text: str) -> Path | None:
    return _path(text) if text and text != "none" else None


def _log(text: str) -> str:
    """The scheme says which implementation stands behind the port, here and in `_store`."""
    if not text.startswith("sqlite:") and not _KAFKA.fullmatch(text):
        raise ValueError(f"{text!r} is not understood; write sqlite:, sqlite:/path or kafka://host:port,…/topic")
    return text


def _store(text: str) -> str:
    if not text.startswith("sqlite:") and not _HBASE.fullmatch(text):
        raise ValueError(
            f"{text!r} is not understood; write sqlite:, sqlite:/path or hbase://host:port,…?prefix=tallymark_"
        )
    return text


def _setting(default: str, parse: Callable[[str], Any], says: str) -> Any:
    return field(default_factory=lambda: parse(default), metadata={"default": default, "parse": parse, "says": says})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting of every process. `Settings()` are the defaults; `Settings.load(os.environ)` is what users set."""

    home: Path = _setting("~/.tallymark", _path, "Folder of everything kept on this machine.")
    log: str = _setting(
        "sqlite:", _log, "Event log: `sqlite:` (a file in home), `sqlite:/path` or `kafka://host:port,…/topic`."
    )
    kafka_properties: Path | None = _setting(
        "none", _optional_path, "File with further settings of Kafka clients (SASL, TLS); see operations."
    )
    store: str = _setting(
        "sqlite:",
        _store,
        "View store: `sqlite:` (a file in home), `sqlite:/path` or `hbase://host:port,…?prefix=tallymark_`.",
    )
    raw: str = _setting("", _raw, "Raw events: a folder or `s3://bucket/path`; empty: `raw` in home.")
    lateness: timedelta = _setting(
        "30s",
        parse_duration,
        "How late an event may come and still be counted by the speed layer, which is also how long it remembers ids.",
    )
    trigger: timedelta = _setting("1s", parse_duration, "How often the speed layer counts what is new.")
    archive_trigger: timedelta = _setting("30s", parse_duration, "How often raw events are committed.")
    max_age: timedelta | None = _setting("none", _optional_duration, "Events older than this are refused.")
    max_ahead: timedelta = _setting("5m", parse_duration, "How far in the future a producer's clock may be.")
    audit_budget: float = _setting(
        "0.01", _share, "Part of a count that the speed layer may miss before the audit warns: 0.01 is 1 %."
    )
    api: Address = _setting("127.0.0.1:8400", _address, "Where the query API listens.")
    gateway: Address = _setting("127.0.0.1:8401", _address, "Where the gateway listens for events.")
    stream_metrics: Address = _setting("127.0.0.1:8402", _address, "Where the stream tells Prometheus of its work.")
    tokens: frozenset[str] = _setting("", _words, "Bearer tokens that may send and ask; empty: everybody.")
    max_body: int = _setting("8000000", _positive, "Largest body of a post, in bytes, after decompression.")
    max_batch: int = _setting("10000", _positive, "Most events in one post.")
    max_pending: int = _setting("200000", _positive, "Events that may wait for the log before posts are answered 429.")
    keep: timedelta = _setting(
        "7d", parse_duration, "How long `maintain` keeps speed minutes and raw files that no version needs any more."
    )
    keep_versions: int = _setting(
        "48", _at_most_60, "Versions that stay readable by as_of and rollback; `maintain` forgets older ones."
    )
    metrics: Path | None = _setting(
        "none",
        _optional_path,
        "Folder for metrics of what cannot be asked for them, read by a node exporter; none: `metrics` in home.",
    )
    alert_webhook: str = _setting("", _optional_url, "Where alerts are posted, as JSON with a `text`; empty: nowhere.")
    spark_master: str = _setting("local[*]", str, "Spark master.")
    spark_memory: str = _setting("768m", str, "Heap of the Spark driver (with a local master: of all of Spark).")
    spark_jars: str = _setting("", str, "Jars for Spark: a folder, or files separated by commas; empty: none.")
    spark_partitions: int = _setting("2", _positive, "State partitions of the speed layer; fixed once started.")

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
    def metrics_folder(self) -> Path:
        return self.metrics or self.home / "metrics"

    @property
    def tokens_required(self) -> bool:
        return bool(self.tokens)


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
        return f"{value // timedelta(milliseconds=1)}ms"
    if isinstance(value, (frozenset, list)):
        return ",".join(sorted(map(str, value)))
    return "none" if value is None else str(value)
