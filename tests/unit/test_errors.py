"""Errors come from other processes as what they are."""

from __future__ import annotations

import pickle

import pytest

from tallymark.errors import (
    ChecksFailed,
    Damaged,
    MalformedEvent,
    SettingsError,
    StoreUnavailable,
    TallymarkError,
    UnknownVersion,
)

MADE = [
    StoreUnavailable("away"),
    Damaged("a file is gone", touches="one day", remedy="put it back"),
    ChecksFailed(7, ["too few"]),
    UnknownVersion(7, [1, 2], why="it is old"),
    MalformedEvent("too long", "type"),
    SettingsError(["one", "another"]),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_comes_from_another_process_with_its_kind_its_words_and_its_fields(error: TallymarkError) -> None:
    came = pickle.loads(pickle.dumps(error))
    assert (type(came), str(came), vars(came)) == (type(error), str(error), vars(error))
    assert came.retriable == error.retriable
