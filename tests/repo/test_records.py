"""The records of decisions (docs/adr): their form, their index, and the code that follows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
NUMBERS = {int(record.name[:4]) for record in RECORDS}
# about tools and the repository, which no line of code follows
ABOUT_TOOLS = {27}
DATE = r"(\d{4}-\d{2}-\d{2})"
STATUS = r"(accepted|accepted, amended by \d+(?: and \d+)?|superseded by \d+)"

each_record = pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)


def named_in_code() -> dict[int, list[str]]:
    """The number of each record that code names as `ADR 36`, with the files that do."""
    folders = ("tallymark", "stream", "batch", "serving", "infra", "dags")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")] + [ROOT / "infra" / "nginx.conf"]
    named: dict[int, list[str]] = {}
    for path in files:
        for number in re.findall(r"\bADR (\d+)\b", path.read_text()):
            named.setdefault(int(number), []).append(str(path.relative_to(ROOT)))
    return named


@each_record
def test_every_decision_has_its_parts_and_is_short(record: Path) -> None:
    text = record.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Alternatives"]
    assert len(text.splitlines()) <= 45
    assert {int(number) for number in re.findall(r"\brecord (\d+)\b", text)} <= NUMBERS


@each_record
def test_every_decision_says_when_it_was_made_and_whether_it_is_in_force(record: Path) -> None:
    title, empty, dated, *_ = record.read_text().splitlines()
    assert re.fullmatch(rf"# {int(record.name[:4])}\. .+", title)
    assert empty == ""
    form = re.fullmatch(rf"Date: {DATE}\. Status: {STATUS}\.", dated)
    assert form, f"under its title, {record.name} should say `Date: 2026-11-24. Status: accepted.`, not: {dated}"
    later = {int(number) for number in re.findall(r"\d+", form[2])}
    assert later <= {number for number in NUMBERS if number > int(record.name[:4])}


def test_the_index_of_decisions_is_complete() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    rows = re.findall(rf"^\| \[(\d{{4}})\]\((.+?)\) \| (.+) \| {DATE} \| {STATUS} \|$", index, re.MULTILINE)
    assert [number for number, *_ in rows] == [f"{n:04d}" for n in range(1, len(RECORDS) + 1)]
    assert [name for _, name, *_ in rows] == [record.name for record in RECORDS]
    for (number, _, title, date, status), record in zip(rows, RECORDS, strict=True):
        assert record.read_text().startswith(f"# {int(number)}. {title}\n\nDate: {date}. Status: {status}.\n")


def test_every_decision_is_named_by_the_code_that_follows_it() -> None:
    in_force = {int(each.name[:4]) for each in RECORDS if "Status: superseded" not in each.read_text()}
    assert in_force - named_in_code().keys() == ABOUT_TOOLS


def test_every_decision_that_code_names_exists() -> None:
    assert {number: files for number, files in named_in_code().items() if number not in NUMBERS} == {}
