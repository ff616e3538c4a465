"""What must hold of an audit's tables. Great Expectations decides, by the suites checked in beside this module.

It takes seconds to load, and nothing but the audit needs it: so it is imported when a function here runs.

The tables, a suite of the same name for each: `types` (missing_share), `hours` (unexplained, extra, negative,
users_off), `conservation` (beyond_ledger, unconserved), `versions` (exact_until), `completeness` (missing, silent,
chaotic).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tallymark.documents.audit_record import Expected

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["decide"]

_SUITES: Final = Path(__file__).parent / "suites"
_WARNING: Final = "warning"


def decide(tables: Mapping[str, pd.DataFrame], *, budget: float, docs: Path) -> list[Expected]:
    """Hold each table against its suite, and leave Data Docs of it in the folder `docs`, in place of older ones.

    A table without rows is left out: nothing was seen, so nothing holds.
    """
    docs.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=docs.parent, prefix=".audit-") as folder:
        with _great_expectations(Path(folder)) as context:
            found = [
                expected
                for name, table in tables.items()
                if len(table)
                for expected in _validated(context, name, table, budget)
            ]
            context.build_data_docs()
        _put_in_place(Path(folder) / "docs", docs)
    return found


@contextmanager
def _great_expectations(folder: Path) -> Iterator[Any]:
    """A project in `folder` that lives as long as this. It calls nobody and shows no progress."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the package is imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        context = gx.get_context(mode="file", project_root_dir=folder)
        context.variables.progress_bars = {"globally": False}
        site = {
            "class_name": "SiteBuilder",
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str((folder / "docs").absolute()),
            },
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
        context.update_data_docs_site("local_site", site)
        yield context


def _validated(context: Any, name: str, table: pd.DataFrame, budget: float) -> Iterator[Expected]:
    import great_expectations as gx

    suite = context.suites.add(gx.ExpectationSuite(**json.loads((_SUITES / f"{name}.json").read_text())))
    source = context.data_sources.add_pandas(name)
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    run = definition.run(batch_parameters={"dataframe": table}, expectation_parameters={"budget": budget})
    for one in run.results:
        asked = one.expectation_config
        yield Expected(
            says=asked.meta["says"],
            holds=bool(one.success),
            fails=asked.severity != _WARNING,
            seen=_seen(one, len(table)),
        )


def _seen(result: Any, rows: int) -> str:
    """In words: how many rows break it, and some of the values that do."""
    if result.exception_info and result.exception_info.get("raised_exception"):
        return f"could not be checked: {result.exception_info.get('exception_message')}"
    broken = result.result.get("unexpected_count", 0)
    values = ", ".join(f"{value:.4g}" for value in result.result.get("partial_unexpected_list", [])[:5])
    return f"{broken} of {rows} rows break it: {values}" if broken else f"holds in {rows} rows"


def _put_in_place(new: Path, docs: Path) -> None:
    """Two audits at once: the later one stays, and neither finds half of the other's."""
    old = new.with_name("old")
    with suppress(FileNotFoundError):
        docs.rename(old)
    try:
        new.rename(docs)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
