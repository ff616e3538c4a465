"""A Spark session with what every Tallymark job needs. Imported only by the jobs that run on Spark."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from tallymark.settings import Settings

__all__ = ["start_spark"]


def start_spark(settings: Settings, name: str, *, options: Mapping[str, str] | None = None) -> SparkSession:
    """Start Spark with what every job needs, and further `options` in Spark's own words.

    Workers run this interpreter; times are UTC; everything listens on loopback unless SPARK_LOCAL_IP says otherwise.
    """
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_code(), os.environ.get("PYTHONPATH"))))
    scratch = settings.home / "spark"
    scratch.mkdir(parents=True, exist_ok=True)
    builder = (
        SparkSession.builder.appName(f"tallymark {name}")
        .master(settings.spark_master)
        .config("spark.driver.memory", settings.spark_memory)
        .config("spark.driver.extraJavaOptions", f"-Duser.timezone=UTC -Dderby.system.home={scratch} {_DEEP} {_QUIET}")
        .config("spark.executor.extraJavaOptions", "-Duser.timezone=UTC")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.local.dir", str(scratch))
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", str(settings.spark_partitions))
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "50000")
    )
    for key, value in (options or {}).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


# Spark looks through the text of an error by a recursive expression, which overflows the default stack on a long one
_DEEP = "-Xss8m"
_QUIET = f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}"


def _code() -> str:
    """The folder that holds our packages, for the workers of a local master."""
    return str(Path(__file__).resolve().parent.parent)
