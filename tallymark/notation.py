"""How the values of settings are written: a function for each kind of text. What it is not raises ValueError that says
what to write instead.
"""

from __future__ import annotations

import re
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Final, NamedTuple

__all__ = [
    "KNOWN_BOTS",
    "Address",
    "address",
    "bot_lists",
    "log_form",
    "log_url",
    "optional_duration",
    "optional_path",
    "optional_url",
    "origins",
    "pace",
    "parse_duration",
    "parse_rate",
    "path",
    "positive",
    "raw_place",
    "share",
    "store_url",
    "words",
]

KNOWN_BOTS: Final = "known"
"""In the place of a file: the list of the package crawler-user-agents."""
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_HOSTS: Final = r"[^/,?]+:\d+(,[^/,?]+:\d+)*"
_KAFKA: Final = re.compile(rf"kafka://{_HOSTS}/[A-Za-z0-9._-]+")
_HBASE: Final = re.compile(rf"hbase://{_HOSTS}(\?prefix=[A-Za-z0-9_]*)?")
_FASTEST: Final = timedelta(seconds=1)
_MULTIPLES: Final = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([kMG]?)B?/(s|min|m|h|d)")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min|m|h|d|w)")


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


def parse_duration(text: str) -> timedelta:
    """`90s`, `2m` = `2 min`, `1.5h`, `7d`, `1w`, `250ms`. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a duration; write for example 90s, 2m, 24h or 7d")
    try:
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    except OverflowError:
        raise ValueError(f"{text!r} is longer than a duration can be; write for example 7d") from None


def parse_rate(text: str) -> float:
    """A number a second: `1000/s`, `60k/min`, `2.5MB/s`. Raises ValueError."""
    match = _RATE.fullmatch(text.strip())
    number = float(match[1]) * _MULTIPLES[match[2]] / _UNITS[match[3]] if match else 0.0
    if not 0 < number < inf:
        raise ValueError(f"{text!r} is not a rate; write for example 1000/s, 60k/min or 2MB/s")
    return number


def address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text!r} is not an address; write host:port, for example 127.0.0.1:8400")
    return Address(host or "127.0.0.1", int(port))


def optional_duration(text: str) -> timedelta | None:
    return parse_duration(text) if text and text != "none" else None


def pace(text: str) -> timedelta | None:
    """How often something is done; `off`, or none, where it is not done at all."""
    every = None if text == "off" else optional_duration(text)
    if every is not None and every < _FASTEST:
        raise ValueError(f"{text!r} is too often; write 1s or more, or off")
    return every


def raw_place(text: str) -> str:
    if "://" in text and not text.startswith("s3://"):
        raise ValueError(f"{text!r} is not a place for raw events; write a folder or s3://bucket/path")
    return text


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number from 1")
    return int(text)


def share(text: str) -> float:
    if not re.fullmatch(r"0(\.\d+)?|1(\.0+)?", text):
        raise ValueError(f"{text!r} is not a share from 0 to 1; write for example 0.01")
    return float(text)


def words(text: str) -> frozenset[str]:
    return frozenset(text.replace(",", " ").split())


def origins(text: str) -> frozenset[str]:
    found = words(text)
    for origin in sorted(found - {"*"}):
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?", origin):
            raise ValueError(f"{origin!r} is no origin; write what stands before the path, as https://example.org:8443")
    return found


def bot_lists(text: str) -> frozenset[str]:
    """KNOWN_BOTS, and paths."""
    return frozenset(name if name == KNOWN_BOTS else str(path(name)) for name in words(text))


def optional_url(text: str) -> str:
    if text and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", text):
        raise ValueError(f"{text!r} is not an address to post to; write for example https://chat.example/hooks/1")
    return text


def path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"{text!r} starts with a user who does not exist; write the folder out") from None


def optional_path(text: str) -> Path | None:
    return path(text) if text and text != "none" else None


def log_form(text: str) -> str:
    if text not in {"text", "json"}:
        raise ValueError(f"{text!r} is not text or json")
    return text


def log_url(text: str) -> str:
    """The scheme says which implementation stands behind the port, here and in `store_url`."""
    if not text.startswith("sqlite:") and not _KAFKA.fullmatch(text):
        raise ValueError(f"{text!r} is not understood; write sqlite:, sqlite:/path or kafka://host:port,…/topic")
    return text


def store_url(text: str) -> str:
    if not text.startswith("sqlite:") and not _HBASE.fullmatch(text):
        raise ValueError(
            f"{text!r} is not understood; write sqlite:, sqlite:/path or hbase://host:port,…?prefix=tallymark_"
        )
    return text
