"""One Spark session for all tests in this folder, with the options of the stream process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from infra.cluster.jars import jars
from stream.run import SPARK_OPTIONS
from tallymark.errors import ProcessError
from tallymark.settings import Settings
from tallymark.spark.session import start_spark


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    home = Settings(home=tmp_path_factory.mktemp("spark"), spark_master="local[2]", spark_jars=_jars())
    session = start_spark(home, "tests", options=SPARK_OPTIONS)
    yield session
    session.stop()


@pytest.fixture
def home_settings(tmp_path: Path) -> Settings:
    """Settings of a fresh home, with triggers that do not make a test wait."""
    return replace(Settings(home=tmp_path), trigger=timedelta(), archive_trigger=timedelta())


def _jars() -> str:
    """Those that read Kafka. Where they cannot be had there is no Kafka to read, and its tests are skipped."""
    try:
        return str(jars("spark-kafka"))
    except ProcessError:
        return ""
