"""What a query is: one SELECT over tables that are offered. Everything else is refused before anything runs.

The query is taken apart by DuckDB's own parser and held against lists of what is allowed, so that whatever a later
DuckDB brings is refused until somebody has looked at it. What slips through meets a locked database (`session`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from tallymark.errors import InvalidQuestion
from tallymark.sql.narrow import ALL, NOTHING, Narrow, narrowed_by

__all__ = ["TABLES", "Statement", "parse"]

TABLES: Final = ("events", "raw", "counts_hour", "counts_day", "versions")
Parameters = Mapping[str, Any]
Ask = Callable[[str, Any], Any]
_TABLE_FUNCTIONS: Final = frozenset({"unnest", "range", "generate_series"})
# they look at the session, wait, or leave something behind
_REFUSED: Final = frozenset(
    {
        *("current_setting", "getenv", "getvariable", "pg_sleep", "sleep_ms", "write_log", "nextval", "currval"),
        *("current_query", "json_serialize_plan", "setseed", "which_secret", "query", "query_table"),
    }
)
_CONSTANT: Final = frozenset({"CONSTANT", "CAST", "FUNCTION", "PARAMETER", "COLUMN_REF"})
# the same whenever they are called in one transaction
_STEADY: Final = frozenset(
    {
        *("+", "-", "*", "now", "today", "get_current_timestamp", "current_date", "current_timestamp", "trunc"),
        *("date_trunc", "make_date", "make_timestamp", "make_timestamptz", "to_timestamp", "epoch_ms"),
        *(f"to_{unit}" for unit in ("seconds", "minutes", "hours", "days", "weeks", "months", "quarters", "years")),
    }
)
_AS_US: Final = "SELECT epoch_us(CAST(1 AS TIMESTAMPTZ))"


class Statement(NamedTuple):
    """`tables`: those that it names, and which of their rows it can need."""

    text: str
    tables: dict[str, Narrow]


def parse(text: str, ask: Ask, parameters: Parameters) -> Statement:
    """`ask(query, parameters)` is the one value that a query of DuckDB's, without tables, gives.

    Raises InvalidQuestion for what is not one SELECT over the tables here.
    """
    try:
        return _read(text, ask, parameters)
    except RecursionError:
        raise InvalidQuestion("it is nested too deeply", "sql") from None


def _read(text: str, ask: Ask, parameters: Parameters) -> Statement:
    parsed = json.loads(ask("SELECT json_serialize_sql(?::VARCHAR)", [text]))
    if parsed["error"]:
        raise InvalidQuestion(_not_read(parsed["error_message"]), "sql")
    if len(parsed["statements"]) != 1:
        raise InvalidQuestion(f"{len(parsed['statements'])} statements, where one SELECT is expected", "sql")
    root = parsed["statements"][0]
    nodes = list(_nodes(root))
    own = {entry["key"].lower() for node in nodes if "cte_map" in node for entry in node["cte_map"]["map"]}
    own |= {str(node["cte_name"]).lower() for node in nodes if "cte_name" in node}
    for node in nodes:
        _refuse_function(node)
        _refuse_show(node)
    found: dict[str, Narrow] = {}
    for name, rows in _references(root, _Constants(ask, parameters)):
        if name in TABLES:
            found[name] = found[name] | rows if name in found else rows
        elif name not in own:
            raise InvalidQuestion(f"there is no table {name!r} here; the tables are {', '.join(TABLES)}", "sql")
    return Statement(text, found)


class _Constants(NamedTuple):
    """What expressions without columns are."""

    ask: Ask
    parameters: Parameters

    def text(self, node: Mapping[str, Any]) -> str | None:
        if node["class"] == "PARAMETER":
            value = self.parameters.get(node["identifier"])
        else:
            value = node["value"].get("value") if node["class"] == "CONSTANT" else None
        return value if isinstance(value, str) else None

    def us(self, node: Mapping[str, Any]) -> int | None:
        """Epoch microseconds, as DuckDB compares the expression with a time."""
        inside = [part for part in _nodes(node) if "class" in part]
        if not all(part["class"] in _CONSTANT and _steady(part) for part in inside):
            return None
        needed = {part["identifier"] for part in inside if part["class"] == "PARAMETER"}
        if not needed <= self.parameters.keys():
            return None
        frame = json.loads(self.ask("SELECT json_serialize_sql(?::VARCHAR)", [_AS_US]))
        frame["statements"][0]["node"]["select_list"][0]["children"][0]["child"] = node
        try:
            query = self.ask("SELECT json_deserialize_sql(?::JSON)", [json.dumps(frame)])
            found: int | None = self.ask(query, {name: self.parameters[name] for name in needed} or None)
        except InvalidQuestion:
            return None  # the query itself will say so
        return found


def _steady(node: Mapping[str, Any]) -> bool:
    if node["class"] == "COLUMN_REF":
        return len(node["column_names"]) == 1 and node["column_names"][0].lower() in _STEADY
    return node["class"] != "FUNCTION" or node["function_name"].lower() in _STEADY


def _references(node: Any, constants: _Constants) -> Iterator[tuple[str, Narrow]]:
    """The name of each table that is named somewhere, and which of its rows may be needed there."""
    if isinstance(node, list):
        for child in node:
            yield from _references(child, constants)
    if not isinstance(node, dict):
        return
    if node.get("type") == "BASE_TABLE":
        yield _table_of(node), ALL
    rest = node
    source = node.get("from_table")
    if node.get("type") == "SELECT_NODE" and source and source["type"] == "BASE_TABLE":
        yield _table_of(source), _needed(node, source, constants)
        rest = {name: child for name, child in node.items() if name != "from_table"}
    if node.get("type") == "SHOW_REF" and node["show_type"] == "DESCRIBE":
        yield from ((name, NOTHING) for name, _ in _references(node["query"], constants))
        return
    for child in rest.values():
        yield from _references(child, constants)


def _needed(select: Mapping[str, Any], source: Mapping[str, Any], constants: _Constants) -> Narrow:
    """Of the only table that a SELECT reads, what its WHERE leaves."""
    if source["column_name_alias"]:  # its columns are called otherwise
        return ALL
    called = source["alias"] or source["table_name"]
    return narrowed_by(select["where_clause"], name=called.lower(), constants=constants)


def _table_of(node: Mapping[str, Any]) -> str:
    name: str = node["table_name"]
    if node["schema_name"] or node["catalog_name"]:
        full = ".".join(filter(None, (node["catalog_name"], node["schema_name"], name)))
        raise InvalidQuestion(f"there is no table {full!r} here; the tables are {', '.join(TABLES)}", "sql")
    return name.lower()


def _refuse_function(node: Mapping[str, Any]) -> None:
    if node.get("type") == "TABLE_FUNCTION":
        name = node["function"]["function_name"].lower()
        if name not in _TABLE_FUNCTIONS or node["function"]["schema"]:
            raise InvalidQuestion(
                f"{name}() cannot be read from here: a query reads {', '.join(TABLES)} and nothing else", "sql"
            )
    elif node.get("class") == "FUNCTION" and node["function_name"].lower() in _REFUSED:
        raise InvalidQuestion(f"{node['function_name']}() is not offered here", "sql")


def _refuse_show(node: Mapping[str, Any]) -> None:
    if node.get("type") == "SHOW_REF" and not node.get("query"):
        raise InvalidQuestion(f"the tables are {', '.join(TABLES)}; DESCRIBE events says what is in one", "sql")


def _nodes(root: Any) -> Iterator[dict[str, Any]]:
    """All objects in a tree of JSON."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _not_read(message: str) -> str:
    if "Only SELECT" not in message:
        return message
    return (
        "only a SELECT is answered here, and nothing is changed, attached, loaded or written by one: results are "
        "written with --csv, --json, --parquet and --arrow (PIVOT needs its values: PIVOT events ON type IN ('view'))"
    )
