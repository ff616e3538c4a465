"""What is loaded is no garbage, and is not searched for any."""

from __future__ import annotations

import subprocess
import sys

WORKER = """
import gc, sys
from tallymark.spark.worker import set_modules_aside

set_modules_aside()
aside = gc.get_freeze_count()
held = [[] for _ in range(1000)]
set_modules_aside()
assert gc.get_freeze_count() == aside, "what a task holds was set aside, and would never be found again"
import xml.dom.minidom
set_modules_aside()
print(aside, gc.get_freeze_count())
"""


def test_modules_are_set_aside_once_and_again_when_more_have_come() -> None:
    # a process of its own: what is set aside there stays so for its whole life
    told = subprocess.run([sys.executable, "-c", WORKER], check=True, capture_output=True, text=True).stdout
    first, second = map(int, told.split())

    assert 0 < first < second
