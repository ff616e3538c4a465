"""A document that is not what was written is named by whatever reads it, with what it touches and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batch.start import Step
from tallymark.access import tokens
from tallymark.documents import attempts, audits, canary, checkpoints, coverage, dead_letters, evidence, publication
from tallymark.documents.progress import ARCHIVE, Progress, commit_asked_at, read_progress
from tallymark.documents.publication import roll_back
from tallymark.errors import Damaged
from tallymark.instants import utc_now
from tallymark.raw.commits import RawCommits
from tallymark.store.lease import held_since
from tests.support.damage import events, look_for_arrivals, run_audit, run_maintain, settings_of, six_commits
from tests.support.recounts import Crash, World, crashing_after
from tests.support.systems import tallymark

DAY = "2026-01-31"
Run = Callable[[World], object]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = six_commits(tmp_path)
    yield made
    made.store.close()


NOT_JSON = [b"", b'{"number":', b"\x00" * 20, b"[7]", b'{"number":"seven"}', b'{"version":' + b"[" * 100_000]
DOCUMENTS: dict[str, Callable[[World], object]] = {
    "attempts/00000001": lambda world: attempts.attempt(world.store, 1),
    "attempts/00000007": lambda world: attempts.newer_than(world.store, 1),
    "publication": lambda world: publication.current(world.store),
    "published/000001769860800000-00000001": lambda world: publication.history(world.store),
    "progress/archive": lambda world: read_progress(world.store, ARCHIVE),
    "audited": lambda world: audits.last_audit(world.store),
    "audits/00000003": lambda world: audits.latest(world.store, 5),
    "requests/archive": lambda world: commit_asked_at(world.store),
    "lease/archive": lambda world: held_since(world.store, "archive"),
    "lease/recompute": World.recompute,
    "lease/maintain": run_maintain,
    "lease/raw-commit": lambda world: RawCommits(world.writer.uri, world.store, application="archive-1").add([], 1),
    "canary/main": lambda world: canary.read_rounds(world.store),
    "checkpoints/speed/000002": lambda world: checkpoints.newest_checkpoint(world.store, "speed"),
    "coverage/current": lambda world: coverage.known(world.store),
    "coverage/state": look_for_arrivals,
    "evidence/current": lambda world: evidence.renew_evidence(
        world.store, evidence.Evidence(made_at=utc_now(), hours=0, needed=24, confidence=0.95, types={})
    ),
    "tokens": lambda world: tokens.read(world.store),
    "dead-letters/00000-00000000000000000007": lambda world: list(dead_letters.dead_letters(world.store)),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_is_not_what_was_written_is_named(tmp_path: Path, name: str) -> None:
    world = World(tmp_path)
    for body in NOT_JSON:
        world.store.write_document(name, body)
        with pytest.raises(Damaged) as told:
            DOCUMENTS[name](world)
        says = str(told.value)
        assert f"the document {name} of the view store cannot be read" in says
        assert "It touches " in says
        assert "To mend it, put it back from a backup of the view store. Without one, " in says


def test_who_has_only_a_body_is_told_its_kind() -> None:
    with pytest.raises(Damaged, match=r"the document progress/ of the view store"):
        Progress.from_json(b"{")


@pytest.mark.parametrize("run", [World.recompute, run_audit], ids=["recompute", "audit"])
def test_an_attempt_whose_document_is_damaged_is_named(world: World, run: Run) -> None:
    world.recompute()
    name = "attempts/00000001" if run is run_audit else "attempts/00000002"
    if run is not run_audit:
        world.append(*events(6))
        with pytest.raises(Crash):
            world.recompute(watch=crashing_after(Step.COUNT))
    whole = world.store.read_document(name)
    assert whole is not None
    for body in (*NOT_JSON, whole.replace(DAY.encode(), b"2026-13-31")):
        world.store.write_document(name, body)
        with pytest.raises(Damaged) as told:
            run(world)
        says = str(told.value)
        assert f"the document {name} of the view store cannot be read" in says
        assert "It touches recounts: the next one cannot be planned, so exact_until stands still. Answers go on" in says
        assert "put it back from a backup" in says
        assert "remove it: what that attempt planned is dirty still" in says


def test_without_its_document_an_attempt_is_counted_again(world: World) -> None:
    world.recompute()
    world.append(*events(6))
    with pytest.raises(Crash):
        world.recompute(watch=crashing_after(Step.ROLL_UP))
    world.store.remove_documents(["attempts/00000002"])
    world.append(*events(7))
    world.recompute()
    world.assert_exact()


def test_without_the_current_publication_an_older_one_takes_its_place(world: World) -> None:
    world.recompute()
    world.append(*events(6))
    world.recompute()
    world.store.write_document("publication", b"{")
    for run in (World.recompute, run_audit, run_maintain):
        with pytest.raises(Damaged, match="the document publication of the view store"):
            run(world)
    world.store.remove_documents(["publication"])
    roll_back(world.store, 1, now=utc_now)
    world.assert_exact()
    world.recompute()
    world.assert_exact()


def test_what_a_later_version_added_to_a_document_is_no_damage(world: World) -> None:
    world.recompute()
    for name, body in world.store.list_documents(""):
        if body.startswith(b"{") and not name.startswith("lease"):
            world.store.write_document(name, b'{"added later":[1],' + body[1:])
    world.append(*events(6))
    world.recompute()
    world.assert_exact()


def test_a_command_says_in_json_what_is_damaged(world: World) -> None:
    world.store.write_document("attempts/00000007", b"{")
    done = tallymark(settings_of(world), "recompute", "--json")
    assert done.returncode == 1
    assert '"kind": "Damaged", "retriable": false' in done.stdout.splitlines()[-1]
    assert "attempts/00000007" in done.stderr
