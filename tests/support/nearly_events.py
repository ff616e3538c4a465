"""Records that are nearly events: an edit or a few away from one."""

from __future__ import annotations

import json
import random
from typing import Any

from tallymark.event import EARLIEST_MS, LATEST_MS, Event

NASTY = (
    b"\0",
    b"\x1f",
    b"\x7f",
    b"\xc2\x85",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\\",
    b'"',
    b"\\ud800",
    b"1e9",
    b"-",
)
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e300, 2**40 + 1, -(2**40) - 1, 2**63, 2**64, 10**30, EARLIEST_MS - 1, LATEST_MS + 1,
    "", " ", "\n", "\x85", "\u2028", "ü" * 129, "x" * 65, "x" * 129, "View", [], {}, ["a"], {"a": 1},
    "2026-01-31", "2026-01-31T12:00:00", "2026-01-31T12:00:00.123456789Z", "1999-12-31T23:59:59Z",
    "2026-02-30T00:00:00Z", "9999-12-31T23:59:59-23:59",
)  # fmt: skip


def mutated(record: bytes, chance: random.Random) -> bytes:
    """A record that was one edit or a few away from `record`."""
    if chance.random() < 0.4:
        fields: dict[str, Any] = json.loads(record)
        name = chance.choice([*Event.__struct_fields__, "unknown"])
        if chance.random() < 0.2:
            fields.pop(name, None)
        else:
            fields[name] = chance.choice(ODD)
        return json.dumps(fields, ensure_ascii=chance.random() < 0.5).encode(errors="surrogatepass")
    edited = bytearray(record)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(edited) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            edited[at:at] = chance.choice(NASTY)
        elif kind == 1:
            del edited[at : at + chance.randint(1, 8)]
        elif kind == 2:
            edited[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 3:
            edited[at:at] = edited[: chance.randint(0, 40)]
        else:
            del edited[at:]
    return bytes(edited)
