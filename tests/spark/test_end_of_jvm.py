"""A process that goes on without Spark gives back what Spark took, and may start it again."""

from __future__ import annotations

import sys
from pathlib import Path

from infra.host.program import run
from tallymark.settings import Settings
from tests.support.systems import ROOT, environment

TWICE = """
import os, psutil
from tallymark.settings import Settings
from tallymark.spark.session import end_jvm, start_spark

def jvms():
    return [child.name() for child in psutil.Process().children() if child.name() == "java"]

end_jvm()
for _ in range(2):
    session = start_spark(Settings.load(os.environ), "test")
    assert session.range(10).count() == 10
    end_jvm()
    assert jvms() == ["java"], "a session that runs is left alone"
    session.stop()
    end_jvm()
    assert jvms() == []
print("done")
"""


def test_the_jvm_ends_and_spark_starts_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, spark_master="local[1]")
    done = run((sys.executable, "-c", TWICE), within=120, environment=environment(settings), folder=ROOT)
    assert done.stdout.endswith("done\n"), done.stderr
