"""A pipe from the supervisor to each child: when it breaks, the supervisor is gone and the child ends itself.

It works wherever there are pipes, and also after `kill -9` of the supervisor: the kernel closes its end.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

__all__ = ["follow"]

GRACE: Final = 20.0  # seconds for a clean end


def follow(descriptor: int) -> None:
    """End this process, cleanly if it can, when the other end of the pipe is closed. Returns at once."""
    threading.Thread(target=_watch, args=(descriptor,), name="lifeline", daemon=True).start()


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 1):  # nothing is ever written: this blocks until the end
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.killpg(0, signal.SIGKILL)
