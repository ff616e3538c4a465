"""Answers as tables: each field a column of its own type, also where nothing is known and where nothing is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pandas as pd
import pytest

from serving.examples import EXAMPLES
from tallymark.client.audits import Audits
from tallymark.client.questions import Function
from tallymark.client.wire import Answer, Answers, Code, Degraded, Series, Stats, Versions

SHAPES = {shape.__name__: shape for shape in (Answer, Answers, Stats, Series, Versions, Audits)}


def example(name: str) -> Any:
    return msgspec.convert(EXAMPLES[name], SHAPES[name])


def answer(function: Function, value: float | None, **changes: Any) -> Answer:
    return msgspec.structs.replace(example("Answer"), function=function, value=value, **changes)


@pytest.mark.parametrize("name", SHAPES)
def test_every_answer_is_a_table_in_arrow_and_in_pandas(name: str) -> None:
    found = example(name)
    table, frame = found.to_arrow(), found.to_pandas()
    assert table.num_rows == len(frame) > 0
    assert set(table.column_names) == {*frame.columns, *filter(None, frame.index.names)}
    assert not [field for field in table.schema if str(field.type) == "null"]


def test_a_row_holds_what_the_answer_says() -> None:
    (row,) = example("Stats").to_arrow().to_pylist()
    assert (row["video_id"], row["count"], row["mean"], row["exact"]) == ("ATL", 1204, 647.01, False)
    assert (row["users"], row["users_lower"], row["users_upper"]) == (611, 600, 623)
    assert row["start"] == datetime(2026, 1, 30, tzinfo=UTC)


def test_what_is_not_known_is_null_and_not_zero() -> None:
    lacks = (Degraded(Code.SPEED_MISSING, "there is no speed view"),)
    unknown = answer(Function.COUNT, None, lower=None, upper=None, confidence=None, degraded=lacks)
    (row,) = unknown.to_arrow().to_pylist()
    assert (row["value"], row["upper"], row["confidence"], row["degraded"]) == (None, None, None, ["speed_missing"])
    frame = Answers((unknown, answer(Function.COUNT, 3))).to_pandas()
    assert frame["value"].isna().tolist() == [True, False]
    assert frame["value"].dtype == pd.Int64Dtype()


def test_values_are_whole_unless_one_of_them_is_not() -> None:
    counts = Answers((answer(Function.COUNT, 3), answer(Function.SUM, 2**53 + 1)))
    assert counts.to_pandas()["value"].tolist() == [3, 2**53 + 1]
    with_a_mean = Answers((answer(Function.COUNT, 3), answer(Function.MEAN, 2.5)))
    assert with_a_mean.to_arrow()["value"].to_pylist() == [3.0, 2.5]


def test_a_table_without_rows_has_its_columns() -> None:
    empty = Answers(()).to_pandas()
    assert empty.empty
    assert empty.dtypes.to_dict() == Answers((answer(Function.COUNT, 3),)).to_pandas().dtypes.to_dict()


def test_many_answers_are_also_a_sequence_of_them() -> None:
    one, other = answer(Function.COUNT, 1), answer(Function.COUNT, 2)
    many = Answers((one, other))
    assert [*many] == [one, other]
    assert (len(many), many[-1], bool(Answers(()))) == (2, other, False)


def test_audits_know_the_newest_word_on_each_hour() -> None:
    (first,) = example("Audits")
    (hour,) = first.by_hour
    before = msgspec.structs.replace(hour, start=hour.start - timedelta(hours=1), missed=7)
    again = msgspec.structs.replace(first, number=6, by_hour=(msgspec.structs.replace(hour, batch=1300), before))
    hours = Audits((first, again)).hours()
    assert [(one.start, one.batch) for one in hours] == [(before.start, before.batch), (hour.start, 1300)]
    assert hours.to_pandas()["missed"].tolist() == [7, hour.missed]
    assert "by_hour" not in Audits((first, again)).to_pandas()
