"""How dead letters are mended: by rules for all of them, or record by record.

Rules are a TOML file, for records that are JSON objects:

    rename = { ts = "occurred_at" }
    values.type = { View = "view" }            # one text for another
    default = { value = 1 }                    # where there is none
    set = { producer_id = "player-eu" }
    only = { field = "type" }                  # letters refused for that field; or a part of the reason, reason = "…"

Records are lines of what `tallymark dead-letters export` writes, with the `record` mended by hand: .ndjson.
"""

from __future__ import annotations

import base64
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tallymark.documents.dead_letters import DeadLetter
from tallymark.errors import TallymarkError

__all__ = ["Exported", "Fix", "exported", "read_fix", "unchanged"]

Fix = Callable[[DeadLetter], bytes | None]
"""The mended record; None: this letter is none of its business."""


class _Only(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    field: str | None = None
    reason: str | None = None

    def holds(self, letter: DeadLetter) -> bool:
        of_field = self.field is None or letter.field == self.field
        return of_field and (self.reason is None or self.reason in letter.reason)


class _Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rename: dict[str, str] = {}
    values: dict[str, dict[str, Any]] = {}
    default: dict[str, Any] = {}
    set: dict[str, Any] = {}
    only: _Only = _Only()

    def __call__(self, letter: DeadLetter) -> bytes | None:
        if not self.only.holds(letter):
            return None
        try:
            fields = msgspec.json.decode(letter.record, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return letter.record  # and is refused again, with the words of the rule
        fields = {self.rename.get(name, name): value for name, value in fields.items()}
        for name, others in self.values.items():
            if isinstance(fields.get(name), str):
                fields[name] = others.get(fields[name], fields[name])
        absent = {name: value for name, value in self.default.items() if fields.get(name) is None}
        return msgspec.json.encode(fields | absent | self.set)


class Exported(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of an export. `record` is text; `record_base64` of a record that is none."""

    log_partition: int
    log_offset: int
    appended_at: int | None = None
    field: str | None = None
    reason: str | None = None
    record: str | None = None
    record_base64: str | None = None


def unchanged(letter: DeadLetter) -> bytes:
    """The rule may have changed since, or the clock: what was too far in the future may be past."""
    return letter.record


def exported(letter: DeadLetter) -> Exported:
    try:
        text, coded = letter.record.decode(), None
    except UnicodeDecodeError:
        text, coded = None, base64.b64encode(letter.record).decode()
    return Exported(
        log_partition=letter.log_partition,
        log_offset=letter.log_offset,
        appended_at=letter.appended_at,
        field=letter.field,
        reason=letter.reason,
        record=text,
        record_base64=coded,
    )


def read_fix(path: Path) -> Fix:
    """Raises TallymarkError that says what is wrong with the file."""
    try:
        body = path.read_bytes()
        if path.suffix == ".toml":
            return msgspec.convert(tomllib.loads(body.decode()), _Rules)
        lines = [msgspec.json.decode(line, type=Exported) for line in body.splitlines() if line.strip()]
    except FileNotFoundError:
        raise TallymarkError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise TallymarkError(
            f"{path} mends no dead letters: {error}; it is a .toml with rules, or an .ndjson of lines that `tallymark "
            f"dead-letters export` wrote, with mended records (docs/operations.md)"
        ) from None
    mended = {(line.log_partition, line.log_offset): _record_of(line) for line in lines}
    return lambda letter: mended.get((letter.log_partition, letter.log_offset))


def _record_of(line: Exported) -> bytes | None:
    if line.record is not None:
        return line.record.encode()
    return None if line.record_base64 is None else base64.b64decode(line.record_base64)
