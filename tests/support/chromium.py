"""A headless Chromium, spoken to over a pipe in its own words (the DevTools protocol).

Playwright makes every tab believe that it is seen, and keeps pages out of the back-forward cache; both are looked at.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import F_DUPFD, fcntl
from itertools import count
from pathlib import Path
from select import select
from typing import Any, Final

from tests.support.systems import eventually

__all__ = ["Chromium", "Tab", "chromium_running", "find_chromium"]

_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE_S: Final = 30


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


@contextmanager
def chromium_running(profile: Path) -> Iterator[Chromium]:
    """It is ended at the end; `profile` is a folder that need not exist."""
    program = find_chromium()
    assert program, "there is no Chromium"
    theirs_in, ours_out = _pipe()
    ours_in, theirs_out = _pipe()
    command = [
        *("bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", program, "--headless=new", "--no-sandbox"),
        *("--disable-gpu", "--no-first-run", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"),
    ]
    with subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL) as process:
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Chromium(ours_in, ours_out)
        finally:
            process.terminate()
            os.close(ours_out)
            os.close(ours_in)
            process.wait(_PATIENCE_S)


def _pipe() -> tuple[int, int]:
    """None of the ends is 3 or 4, which Chromium reads and writes."""
    ends = os.pipe()
    far = fcntl(ends[0], F_DUPFD, 10), fcntl(ends[1], F_DUPFD, 10)
    for end in ends:
        os.close(end)
    for end in far:
        os.set_inheritable(end, False)
    return far


class Chromium:
    def __init__(self, replies: int, requests: int) -> None:
        self._replies = replies
        self._requests = requests
        self._numbers = count(1)
        self._unread = b""

    def call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """What it answers; fails when it refuses, or says nothing for half a minute."""
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._requests, json.dumps(asked).encode() + b"\0")
        while True:
            told = self._next(method)
            if told.get("id") == number:
                assert "error" not in told, f"{method}: {told['error']}"
                result: dict[str, Any] = told["result"]
                return result

    def _next(self, method: str) -> dict[str, Any]:
        while b"\0" not in self._unread:
            assert select([self._replies], [], [], _PATIENCE_S)[0], f"no answer to {method}"
            read = os.read(self._replies, 1 << 20)
            assert read, f"Chromium ended before it answered {method}"
            self._unread += read
        text, _, self._unread = self._unread.partition(b"\0")
        told: dict[str, Any] = json.loads(text)
        return told

    def open(self, url: str) -> Tab:
        """A new tab, in front, once its page is there."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, target, session)
        tab.go(url)
        return tab


class Tab:
    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, session=self._session, **parameters)

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        eventually(lambda: self.run("location.href") == url and self.run("document.readyState") == "complete")

    def back(self) -> None:
        """To the page before, which Chromium may have kept."""
        before = self.run("location.href")
        self.run("history.back()")
        eventually(lambda: self.run("location.href") != before)

    def front(self) -> None:
        """Any other tab is hidden by it."""
        self._browser.call("Target.activateTarget", targetId=self._target)

    def offline(self, off: bool) -> None:
        self.call("Network.enable")
        self.call(
            "Network.emulateNetworkConditions", offline=off, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)

    def run(self, script: str) -> Any:
        """The value of an expression in the page; of a promise, what it comes to."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, f"{script}: {told['exceptionDetails']}"
        return told["result"].get("value")
