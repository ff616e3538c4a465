"""Load that does not wait: requests are sent by the clock, and a late answer counts from when it was due to be asked.

Run as a process of its own: `python -m tests.bench.open_loop HOST PORT RATE FILE`; FILE holds (label, path) pairs as
JSON, one request each. Prints {label: [milliseconds, …]} as JSON; any answer but 200 ends it with an error.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from pathlib import Path
from time import perf_counter

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
KEPT_FOR = 30.0


class Pool:
    """Keep-alive connections; a new one whenever all are waiting for an answer."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._idle: list[tuple[float, Connection]] = []

    async def get(self, path: str) -> bytes:
        return await self._ask(f"GET {path}", b"", expected=200)

    async def post(self, path: str, body: bytes) -> bytes:
        return await self._ask(f"POST {path}", body, expected=202)

    async def _ask(self, what: str, body: bytes, *, expected: int) -> bytes:
        status, answer = await self.exchange(what, body)
        if status != expected:
            raise RuntimeError(f"{what}: {status} {answer.decode()}")
        return answer

    async def exchange(self, what: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer to `what`, as in `GET /healthz`, whatever it is."""
        reader, writer = self._rested() or await asyncio.open_connection(self._host, self._port)
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        try:
            writer.write(f"{what} HTTP/1.1\r\nHost: {self._host}\r\n{kind}\r\n".encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            answer = await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
        except BaseException:  # also when nobody waits for it any more
            writer.close()
            raise
        self._idle.append((perf_counter(), (reader, writer)))
        return int(head.split(b" ", 2)[1]), answer

    def _rested(self) -> Connection | None:
        """The connection that was used last, while it is sure that the server keeps it open."""
        since, connection = self._idle.pop() if self._idle else (0.0, None)
        if perf_counter() - since < KEPT_FOR:
            return connection
        self._idle.clear()  # the others have rested for longer
        return None


async def drive(host: str, port: int, *, rate: float, requests: list[tuple[str, str]]) -> dict[str, list[float]]:
    pool = Pool(host, port)
    taken: dict[str, list[float]] = defaultdict(list)

    async def one(label: str, path: str, due: float) -> None:
        await pool.get(path)
        taken[label].append((perf_counter() - due) * 1000)

    began = perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, (label, path) in enumerate(requests):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - perf_counter()))
            group.create_task(one(label, path, due))
    return taken


if __name__ == "__main__":
    host, port, rate, file = sys.argv[1:]
    asked = [(label, path) for label, path in json.loads(Path(file).read_text())]
    json.dump(asyncio.run(drive(host, int(port), rate=float(rate), requests=asked)), sys.stdout)
