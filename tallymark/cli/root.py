"""`tallymark` itself: a group of commands that are imported when they are called, not when they are listed (ADR 24)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from tallymark.cli.table import COMMANDS, EXAMPLES, Entry

__all__ = ["LazyGroup", "root"]

_ABOUT: Final = "Count what happens to videos: fresh within a second, exact once recounted."


class LazyGroup(TyperGroup):
    """Holds stubs with a name and a line of help; `resolve_command` imports the one that is called.

    (typer has one way to look commands up differently: to inherit from its group. Its types for a context and a
    command are private, hence Any.)
    """

    entries: tuple[Entry, ...] = ()

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, stub, rest = super().resolve_command(ctx, args)
        entry = next((entry for entry in self.entries if entry.name == name), None)
        return name, _load(entry) if entry else stub, rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Plain text: what typer draws its own page with takes 200 ms to import."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        for panel in dict.fromkeys(entry.panel for entry in self.entries):
            _section(formatter, panel, [(entry.name, entry.says) for entry in self.entries if entry.panel == panel])
        if ctx.parent is None:
            _section(formatter, "Examples", EXAMPLES)
        options = (param.get_help_record(ctx) for param in self.get_params(ctx))
        _section(formatter, "Options", [record for record in options if record])


def root() -> LazyGroup:
    """Call it to run the command in `sys.argv`; it exits the process. What is raised on purpose comes through."""
    app = typer.Typer(cls=LazyGroup, help=_ABOUT, no_args_is_help=True)
    app.callback()(_options)
    return _offer(app, COMMANDS)


def _show_version(asked: bool) -> None:
    if not asked:
        return
    from importlib.metadata import PackageNotFoundError, version

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


def _offer(app: typer.Typer, entries: tuple[Entry, ...]) -> LazyGroup:
    """The command of `app`, a Typer(cls=LazyGroup) with a callback, offering `entries`."""
    made = get_command(app)
    assert isinstance(made, LazyGroup)
    made.entries = entries
    made.commands = {entry.name: TyperCommand(entry.name, help=entry.says) for entry in entries}
    return made


def _load(entry: Entry) -> Any:
    if entry.group:
        app = typer.Typer(cls=LazyGroup, add_completion=False, no_args_is_help=True, help=entry.says)
        app.callback()(lambda: None)
        return _offer(app, entry.group)
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    function = getattr(import_module(entry.module), entry.function)
    if entry.watched:
        from tallymark.cli.textfile import with_metrics

        function = with_metrics(entry.name, function)
    app.command(entry.name)(function)
    return get_command(app)


def _section(formatter: Any, title: str, rows: Sequence[tuple[str, str]]) -> None:
    with formatter.section(typer.style(title, bold=True)):
        formatter.write_dl([(typer.style(name, fg="cyan"), says) for name, says in rows], col_max=44)
