"""`tallymark` itself: the group of all commands, with `--version`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final

import typer

from tallymark.cli.group import LazyGroup, offer
from tallymark.cli.table import COMMANDS

__all__ = ["root"]

_ABOUT: Final = "Count what happens to videos: fresh within a second, exact once recounted."


def root() -> LazyGroup:
    """Call it to run the command in `sys.argv`; it exits the process. What is raised on purpose comes through."""
    app = typer.Typer(cls=LazyGroup, help=_ABOUT, no_args_is_help=True)
    app.callback()(_options)
    return offer(app, COMMANDS)


def _show_version(asked: bool) -> None:
    if not asked:
        return
    try:
        found = version("tallymark")
    except PackageNotFoundError:
        found = "(not installed: run from its source)"
    typer.echo(f"tallymark {found}")
    raise typer.Exit


_Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
]


def _options(show_version: _Version = False) -> None: ...
