"""Documents as they lie in the stores of people: these bytes were written once, and are read for ever."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tallymark.documents import attempts, audits, canary, checkpoints, coverage, dead_letters, evidence
from tallymark.documents.progress import ARCHIVE, SPEED, Progress, read_progress
from tallymark.documents.publication import Publication, current, history
from tallymark.store import ViewStore

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
STORED = {
    "publication": b'{"version":17,"exact_until":"2026-01-31T12:00:00Z","raw_version":40,"epoch":2,'
    b'"published_at":"2026-01-31T12:05:00Z"}',
    "published/001769860800000-00000016": b'{"version":16,"exact_until":"2026-01-31T12:00:00Z","raw_version":39,'
    b'"epoch":1,"published_at":"2026-01-31T12:00:00Z","missing":3,"counted_until":"2026-01-31T12:01:10Z"}',
    "progress/speed": b'{"positions":{"0":17,"3":9},"included_until":"2026-01-31T12:00:00Z","epoch":2}',
    "checkpoints/speed/000002": b'{"start": {"0": 5, "1": 7}}',
    "checkpoints/speed/000003": b'{"start":{"0":5},"form":2,"lateness_ms":30000,"since":29497680}',
    "dead-letters/00000-00000000000000000007": b'[{"log_partition":0,"log_offset":7,"appended_at":1769860800000,'
    b'"reason":"not valid JSON","field":null,"record":"ew=="}]',
    "attempts/00000017": b'{"number":17,"state":"published","started_at":"2026-01-31T12:00:00Z","raw_version":40,'
    b'"exact_until":"2026-01-31T12:00:00Z","pairs":{"2026-01-31":{"3":[10,11]}}}',
    "audited": b'{"number":4,"version":17,"until":29497680,"checked_ms":1769860800000}',
    "evidence/current": b'{"made_at":"2026-01-31T12:00:00Z","hours":30,"needed":24,"confidence":0.95,'
    b'"types":{"view":{"reads":900,"speed":[0.5,0.1],"batch":[0.2,0.0],"above":1.2,"below":0.01}}}',
    "coverage/current": b'{"checked_until":"2026-01-31T12:00:00Z","holes":[[29497680,29497740,3]],"silent":[],'
    b'"share":[]}',
    "audits/00000004": b'{"number":4,"verdict":"passed","started_at":"2026-01-31T12:00:00Z","finished_at":'
    b'"2026-01-31T12:00:09Z","start":"2026-01-31T09:00:00Z","until":"2026-01-31T11:00:00Z","version":17,"epoch":2,'
    b'"budget":0.01,"hours":2,"empty":0,"not_compared":[],"figures":{"equal":9,"differing":1,"missing":0,"extra":0,'
    b'"batch":100,"speed":99,"under":1,"over":0,"negative":0,"users_off":0},"causes":{"late":1,"duplicates":0,"lost":0,'
    b'"unexplained":0},"by_type":[],"by_hour":[[29497500,100,99,1,0,0]],"worst":[[["ATL","view",29497500],50,49]],'
    b'"lateness":{"5 min":3},"expectations":[],"bounds":"none yet","report":"audits/4.html"}',
    "canary/main": b'{"name":"main","at":"2026-01-31T12:00:00Z","part":null,"trouble":null,"sent":40,"missing":0,'
    b'"lost":0,"duplicated":0,"latency_ms":500,"freshness_ms":300,"exact_until":null}',
    "progress/archive": b'{"positions":{"0":17},"included_until":"2026-01-31T12:00:00Z"}',
    "coverage/state": b"\x81\xa1a\x01",
}


@pytest.fixture
def filled(store: ViewStore) -> ViewStore:
    for name, body in STORED.items():
        store.write_document(name, body)
    return store


def test_each_document_is_read_as_it_was_written(filled: ViewStore) -> None:
    published = Publication(version=17, exact_until=NOON, raw_version=40, epoch=2, published_at=NOON.replace(minute=5))
    assert current(filled) == published
    assert [(each.version, each.missing) for each in history(filled)] == [(16, 3), (17, None)]
    assert [each.first_uncounted_step for each in history(filled)] == [884_930_435, 884_930_400]
    assert read_progress(filled, SPEED) == Progress(positions={0: 17, 3: 9}, included_until=NOON, epoch=2)
    begun = checkpoints.BegunAt(start={0: 5}, form=2, lateness_ms=30_000, since=29_497_680)
    assert checkpoints.newest_checkpoint(filled, "speed") == (3, begun)
    old = checkpoints.BegunAt.read(filled, "checkpoints/speed/000002")
    assert old == checkpoints.BegunAt(start={0: 5, 1: 7}, form=1)
    assert read_progress(filled, ARCHIVE) == Progress(positions={0: 17}, included_until=NOON)
    assert coverage.read_state(filled) == b"\x81\xa1a\x01"
    assert [letter.record for letter in dead_letters.dead_letters(filled)] == [b"{"]
    (attempt,) = attempts.newer_than(filled, 16)
    assert (attempt.state, attempts.hours_of(attempt.pairs)) == ("published", {(29_497_560, 3), (29_497_620, 3)})
    assert audits.last_audit(filled) == audits.Last(
        number=4, version=17, until=29_497_680, checked_ms=1_769_860_800_000
    )
    (audit,) = audits.latest(filled, 5)
    assert (audit.figures.cells, audit.worst[0].missing, audit.by_hour[0].under, audit.videos) == (10, 1, 1, [])
    grows = evidence.Evidence.read(filled, evidence.DOCUMENT)
    assert grows is not None
    assert grows.types["view"] == evidence.Growth(reads=900, speed=[0.5, 0.1], batch=[0.2, 0.0], above=1.2, below=0.01)
    known = coverage.known(filled)
    assert known is not None
    assert known.missing == 3
    assert [found.latency_ms for found in canary.read_rounds(filled)] == [500]


@pytest.mark.parametrize("name", ["publication", "progress/speed", "evidence/current", "coverage/current"])
def test_what_is_written_again_is_the_same_bytes(name: str) -> None:
    owners: dict[str, Any] = {"publication": Publication, "progress/speed": Progress}
    owner = owners.get(name, evidence.Evidence if name.startswith("evidence") else coverage.Known)
    assert owner.from_json(STORED[name]).to_json() == STORED[name]
