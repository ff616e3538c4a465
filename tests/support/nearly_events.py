"""Records that are nearly events: an edit or a few away from one."""

from __future__ import annotations

import json
import random
import re
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
    b".0",
    b"null",
)
NUMBERS = (
    *(
        "5.0",
        "1.769860800000e12",
        "17698608000000e-1",
        "1769860800000.5",
        "9007199254740993.0",
        "9.223372036854775807e18",
    ),
    *("5.00000000000000000000000001", "1e-400", "0e999999999999", "1e99999999999999999999", "-0.0", "5.", "0.5e1"),
)
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e300, 2**40 + 1, -(2**40) - 1, 2**63, 2**64, 10**30, EARLIEST_MS - 1, LATEST_MS + 1,
    "", " ", "\n", "\x85", "\u2028", "ü" * 257, "x" * 65, "x" * 129, "x" * 257, "View", [], {}, ["a"], {"a": 1},
    "2026-01-31", "2026-01-31T12:00:00", "2026-01-31T12:00:00.123456789Z", "1999-12-31T23:59:59Z",
    "2026-02-30T00:00:00Z", "9999-12-31T23:59:59-23:59", "2016-12-31T23:59:60Z", "2016-12-31T18:59:60.5-05:00",
    "2016-12-31T23:58:60Z", 5.0, 1.7e12, -0.0, 1e17, {"a": None}, {"a": "x" * 129}, {"A": "x"}, {"a\n": "x"},
    {"a": "\x7f"}, {"a": "\u2028"}, {"a": "", "colour": "röt"}, {f"a{n}": "x" for n in range(17)},
    {f"a{n}": "x" for n in range(16)},
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
        text = json.dumps(fields, ensure_ascii=chance.random() < 0.5)
        if chance.random() < 0.1:  # an integer as others may write it, which a float would round
            number = chance.choice(NUMBERS)
            text = re.sub(r'("(?:value|seq|occurred_at|clock_ahead_ms)": )-?[0-9]+', rf"\g<1>{number}", text, count=1)
        return text.encode(errors="surrogatepass")
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
