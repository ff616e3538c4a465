"""The documents say what the code does: the links, paths, commands, settings, calls and tests that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serving.app import create_app as create_api
from stream.gateway.app import create_app as create_gateway
from stream.log.sqlite.log import SqliteLog
from tallymark.cli.table import COMMANDS
from tallymark.client.wire import Answer, Code
from tallymark.event import Event
from tallymark.settings import Settings, describe
from tallymark.store.sqlite import SqliteViewStore

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
PACKAGES = ("tallymark", "stream", "batch", "serving", "infra")
CODE = [path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py")]
GLOSSARY = """event, type, value, attributes, occurred_at, sent_at, appended_at, log, raw, dead letter, import, view,
shard, grain, bucket, tally, sketch, cell, span, version, attempt, epoch, micro-batch, publication, exact_until,
stitch, seal, dirty, late, lateness, memory, generation, step, counted_until, reading, late cell,
recompute, rollback, audit, sequence, hole, roster, coverage, evidence, canary, snapshot, row, slice,
lease, lock, ledger, pending, quality, staleness, token, scope, write key"""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        assert aim.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(aim), f"{page.name} links to the heading {target}"


@each_page
def test_every_path_that_is_named_exists(page: Path) -> None:
    for path in re.findall(r"`((?:\w+/)+(?:\w+\.(?:py|toml|sh))?)`", page.read_text()):
        if path.partition("/")[0] in {*PACKAGES, "tests", "docs", "dags", "notebooks"}:
            assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_every_package_is_on_the_map() -> None:
    the_map = (DOCS / "architecture.md").read_text().split("## The map")[1].split("## ")[0]
    packages = {f"{path.parent.relative_to(ROOT)}/" for path in CODE if path.name == "__init__.py"}
    on_the_map = set(re.findall(r"^\| `((?:\w+/)+)` \| ", the_map, re.MULTILINE))
    assert packages - on_the_map == set(), "packages that docs/architecture.md does not name"
    assert {folder for folder in on_the_map if not (ROOT / folder).is_dir()} == set()


def test_every_path_on_the_map_exists() -> None:
    """Both walks and the map name files, each by its whole path."""
    text = (DOCS / "architecture.md").read_text()
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", text))
    assert {path for path in named if not (ROOT / path).is_file()} == set()
    for walk in ("One event in", "One question out"):
        steps = re.findall(
            r"^\| (\d+) \| `([\w/]+\.py)` \|", text.split(f"## {walk}")[1].split("\n## ")[0], re.MULTILINE
        )
        assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
        assert steps


def test_the_picture_shows_what_stands_beside_the_counting() -> None:
    for page in (ROOT / "README.md", DOCS / "architecture.md"):
        text = page.read_text()
        assert [word for word in ("audit", "bounds", "lease", "upkeep", "canary", "DAGs") if word not in text] == []


@each_page
def test_every_command_that_is_named_exists(page: Path) -> None:
    known = {entry.name for entry in COMMANDS} | {"--help", "--version"}
    for command in re.findall(r"(?:^ {4}|`|\$ )tallymark ([\w-]+)", page.read_text(), re.MULTILINE):
        assert command in known, f"{page.name} names `tallymark {command}`"


@each_page
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    known = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^ {4})make (\w+)", page.read_text(), re.MULTILINE)) <= known


@each_page
def test_lines_are_short_enough_to_read(page: Path) -> None:
    long = [
        line for line in page.read_text().splitlines() if len(line) > 125 and not line.startswith(("|", " ", "- `"))
    ]
    assert not long


@each_page
def test_every_test_that_is_named_exists(page: Path) -> None:
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        assert (ROOT / path).is_file(), f"{page.name} names {path}"
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{page.name} names {name}"


def test_every_guarantee_names_its_tests() -> None:
    sections = re.split(r"^## ", (DOCS / "guarantees.md").read_text(), flags=re.MULTILINE)
    numbered = [section for section in sections if re.match(r"\d\. ", section)]
    assert [section.partition(".")[0] for section in numbered] == list("12345678")
    assert all("`tests/" in section for section in numbered)


def test_the_table_of_settings_is_that_of_the_code() -> None:
    rows = [
        f"| `{name}` | `{variable}` | {'' if default == '(empty)' else f'`{default}`'} | {says} |"
        for name, variable, default, says in describe()
    ]
    table = "\n".join(["| setting | variable | default | |", "|---|---|---|---|", *rows])
    assert table in (DOCS / "settings.md").read_text(), f"docs/settings.md should hold\n{table}"


def test_every_call_is_documented_and_no_other(tmp_path: Path) -> None:
    store, log = SqliteViewStore(tmp_path / "views"), SqliteLog(tmp_path / "log")
    apps = create_api(Settings(), store=store), create_gateway(Settings(), log=log)
    calls = {path for app in apps for path in app.openapi()["paths"]} | {"/openapi.json", "/docs"}
    store.close()
    log.close()
    named = set(re.findall(r"`(?:GET |POST )?(/[\w./]+)`", (DOCS / "http.md").read_text()))
    assert named == calls


def test_every_field_and_code_is_documented() -> None:
    text = (DOCS / "http.md").read_text()
    rows = re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {*Event.__struct_fields__, *Answer.__struct_fields__} - {"function"} <= named
    assert set(re.findall(r"^\| `(\w+)` \| [^|]+ \|$", text.split("| `code` in")[1].split("###")[0], re.M)) == set(Code)


def test_every_word_of_the_glossary_is_explained_once_and_used() -> None:
    explained = re.findall(r"^- \*\*(.+?)\*\*: ", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert sorted(explained) == sorted(GLOSSARY.replace("\n", " ").split(", "))
    written = "\n".join(path.read_text() for path in CODE).lower().replace("-", " ").replace("_", " ")
    assert not [word for word in explained if word.replace("-", " ").replace("_", " ") not in written]
