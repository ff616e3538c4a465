"""A Spark session with what every Tallymark job needs. Imported only by the jobs that run on Spark."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pyspark import SparkContext
from pyspark.sql import SparkSession

from tallymark.raw.s3 import FORWARDED
from tallymark.settings import Settings

__all__ = ["end_jvm", "runs_in_this_process", "start_spark"]


def start_spark(settings: Settings, name: str, *, options: Mapping[str, str] | None = None) -> SparkSession:
    """Start Spark with what every job needs, and further `options` in Spark's own words. Times are UTC.

    On a master of this machine, executors run this interpreter and this code, and everything listens on loopback unless
    SPARK_LOCAL_IP says otherwise. On another master they run PYSPARK_PYTHON (python3), which must have this version of
    Tallymark installed. Either way they get our access to S3, as far as it is in AWS_* variables.
    """
    scratch = settings.home / "spark"
    scratch.mkdir(parents=True, exist_ok=True)
    here = settings.spark_is_here
    handed = [variable for variable in FORWARDED if variable in os.environ]
    if here:
        os.environ["PYSPARK_PYTHON"] = sys.executable
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ["PYTHONPATH"] = _with_our_code(os.environ.get("PYTHONPATH"))
        handed.append("PYTHONPATH")
    builder = (
        SparkSession.builder.appName(f"tallymark {name}")
        .master(settings.spark_master)
        .config("spark.driver.memory", settings.spark_memory)
        .config("spark.driver.extraJavaOptions", f"-Duser.timezone=UTC -Dderby.system.home={scratch} {_DEEP} {_QUIET}")
        .config("spark.executor.extraJavaOptions", "-Duser.timezone=UTC")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", str(settings.spark_partitions))
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "50000")
        .config("spark.sql.execution.arrow.maxBytesPerBatch", str(_UNBOUNDED))
        .config("spark.redaction.regex", "(?i)secret|password|token|access[._]?key")
    )
    if here:
        builder = builder.config("spark.local.dir", str(scratch))
    if not runs_in_this_process(settings):
        for variable in handed:
            builder = builder.config(f"spark.executorEnv.{variable}", os.environ[variable])
    if settings.spark_jars:
        builder = builder.config("spark.jars", _jars(settings.spark_jars))
    for key, value in (options or {}).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def end_jvm() -> None:
    """End the JVM that stopped sessions leave behind: for a process that goes on without Spark, and may start it again.

    Spark has no name for it, as it ends its JVM together with the Python process that it belongs to.
    """
    gateway = SparkContext._gateway
    if gateway is None or SparkContext._active_spark_context is not None:
        return
    gateway.shutdown()
    gateway.proc.stdin.close()  # the JVM ends when it has nobody to listen to
    gateway.proc.wait()
    SparkContext._gateway = SparkContext._jvm = None


# Spark looks through the text of an error by a recursive expression, which overflows the default stack on a long one
_DEEP = "-Xss8m"
# a bound in bytes besides that of records has Spark add up, at each record, what all columns hold by then
_UNBOUNDED = 2**31 - 1
_QUIET = f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}"


def _jars(named: str) -> str:
    """The setting `spark_jars`, a folder or a list, as the list that Spark takes."""
    folder = Path(named).expanduser()
    return ",".join(sorted(map(str, folder.glob("*.jar")))) if folder.is_dir() else named


def runs_in_this_process(settings: Settings) -> bool:
    """Whether executors are threads of this process's JVM, and their workers its children: local[*], local[4]."""
    return settings.spark_master.startswith("local[")


def _with_our_code(path: str | None) -> str:
    """A PYTHONPATH that begins with the folder that holds our packages."""
    code = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(dict.fromkeys([code, *(path or "").split(os.pathsep)])).rstrip(os.pathsep)
