"""Importing where files and raw events lie on S3."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from batch.importing.load import load, moment_of
from batch.importing.mapping import read_mapping
from batch.importing.sources import find_sources
from tallymark.errors import TallymarkError
from tallymark.raw import RawTable
from tallymark.raw.s3 import S3
from tallymark.settings import Settings
from tallymark.store.sqlite import SqliteViewStore
from tests.support.clusters import RunningCluster
from tests.support.recounts import LATENESS

MAP = '[event]\ntype = {constant = "view"}\nvideo_id = "v"\noccurred_at = {column = "at"}\n'


def put(uri: str, body: bytes) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3 = S3.of(os.environ)
    boto3.client("s3", **s3.for_boto()).put_object(Bucket=bucket, Key=key, Body=body)


@pytest.fixture
def settings(cluster: RunningCluster, tmp_path: Path) -> Settings:
    return cluster.settings(tmp_path / "home")


def test_files_of_a_bucket_become_raw_events_of_a_bucket_once(settings: Settings, tmp_path: Path) -> None:
    folder = f"{settings.raw_uri.rpartition('/')[0]}/history-{uuid4().hex[:8]}"
    for part in range(3):
        rows = "".join(f"v{n},2013-0{part + 1}-01T00:0{n}:00Z\n" for n in range(10))
        put(f"{folder}/part-{part}.csv", f"v,at\n{rows}".encode())
    put(f"{folder}/readme.md", b"nothing")
    mapping = tmp_path / "map.toml"
    mapping.write_text(MAP)
    store = SqliteViewStore(tmp_path / "views.sqlite")
    table = RawTable(settings.raw_uri)
    now = datetime.now(UTC)
    for events in (30, 0):
        sources = find_sources([f"{folder}/part-*.csv"])
        assert [source.name for source in sources] == [f"{folder}/part-{part}.csv" for part in range(3)]
        moment = moment_of(store, lateness=LATENESS, now=now)
        done = load(sources, read_mapping(mapping), table=table, store=store, moment=moment, now=now)
        assert done.events == events
    assert sum(file.rows for file in table.pin().files) == 30
    with pytest.raises(TallymarkError, match="there is no file"):
        find_sources([f"{folder}/nothing.csv"])
    store.close()
