"""`tallymark tokens`: make, list and revoke them. What a command needs is imported when it runs."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, closing
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallymark.notation import parse_duration, parse_rate
from tallymark.settings import Settings

if TYPE_CHECKING:
    from tallymark.store import ViewStore

__all__ = ["create", "list_", "off", "revoke"]

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="Of whoever brings the token: it is in logs and metrics.")]


def create(
    name: _Name,
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option(metavar="SCOPE", help="send, ask or operate. May be given several times.", show_default="send"),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(parser=parse_rate, metavar="N/s", help="Most events a second: 1000/s.", show_default="no limit"),
    ] = None,
    size: Annotated[
        float | None,
        typer.Option(
            "--bytes", parser=parse_rate, metavar="N/s", help="Most bytes a second: 2MB/s.", show_default="no limit"
        ),
    ] = None,
    burst: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="So much time's worth may come at once.", show_default="2s"
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser", help="A write key: may stand in the address, and sends events only.")
    ] = False,
    json: _Json = False,
) -> None:
    """Make a token and show it, once: only its hash is kept. It is good within two seconds.

    From the first token on, whoever brings none is kept out.

    Example: tallymark tokens create player-eu --scope send --rate 1000/s
    """
    from tallymark.access import tokens
    from tallymark.access.tokens import Rates, Scope
    from tallymark.cli.terminal import say
    from tallymark.instants import utc_now

    try:
        scopes = [Scope(text) for text in scope or ["send"]]
    except ValueError as error:
        raise typer.BadParameter(f"{error}; choose from send, ask and operate") from None
    rates = Rates(
        events_per_s=rate, bytes_per_s=size, burst_s=burst.total_seconds() if burst is not None else Rates().burst_s
    )
    with _store() as store:
        doors_were_open = tokens.read(store) is None
        made = tokens.create(store, name, scopes=scopes, now=utc_now(), browser=browser, rates=rates)
    if json:
        _print({"token": made.text, **tokens.shown(made.token)})
        return
    say(made.text)
    typer.echo(f"That is the token of {name}. It is shown this once, so keep it where {name} finds it.", err=True)
    if doors_were_open:
        typer.echo(
            "It is the first: from now on, whoever brings no token is kept out, your own commands too. Make one for "
            "them, `tallymark tokens create me --scope send --scope ask --scope operate`, and put it into "
            "TALLYMARK_TOKEN.",
            err=True,
        )


def list_(json: _Json = False) -> None:
    """The tokens that are in force: names, scopes and limits, and never the tokens themselves.

    Example: tallymark tokens list
    """
    from tallymark.access import tokens
    from tallymark.cli.terminal import say

    settings = Settings.load(os.environ)
    with _store() as store:
        known = tokens.read(store)
    rows = [tokens.shown(token) for token in known.tokens] if known else []
    if json:
        _print({"tokens": rows, "in_settings": len(settings.tokens), "open": known is None and not settings.tokens})
        return
    for row in rows:
        limits = ", ".join(f"{row[key]:g} {unit}" for key, unit in _LIMITS.items() if row[key] is not None)
        kind = "write key" if row["browser"] else " ".join(row["scopes"])
        say(f"{row['name']:24} {kind:18} {limits or 'no limit':32} since {row['created_at']:%Y-%m-%d}")
    if settings.tokens:
        say(f"and {len(settings.tokens)} in the setting tokens, for everything")
    if known is None and not settings.tokens:
        say("There is no token: everybody who can reach the servers may send and ask.")
    elif not rows and not settings.tokens:
        say("There is no token, and nobody may come in: make one, or let everybody in with `tallymark tokens off`.")


def revoke(name: _Name, json: _Json = False) -> None:
    """Nobody can use the token from two seconds on. The last one revoked keeps everybody out.

    Example: tallymark tokens revoke player-eu
    """
    from tallymark.access import tokens
    from tallymark.cli.terminal import say

    settings = Settings.load(os.environ)
    with _store() as store:
        left = tokens.revoke(store, name)
    if json:
        _print({"revoked": name, "left": [token.name for token in left.tokens]})
        return
    say(f"The token of {name} is revoked")
    if not left.tokens and not settings.tokens:
        say("It was the last one: nobody may come in. Make one, or let everybody in with `tallymark tokens off`.")


def off(json: _Json = False) -> None:
    """Forget all tokens: everybody who can reach the servers may send and ask again, as before the first one.

    Example: tallymark tokens off
    """
    from tallymark.access import tokens
    from tallymark.cli.terminal import say

    with _store() as store:
        tokens.forget_all(store)
    if json:
        _print({"open": not Settings.load(os.environ).tokens})
    else:
        say("All tokens are forgotten")


_LIMITS = {"events_per_s": "events/s", "bytes_per_s": "bytes/s"}


def _store() -> AbstractContextManager[ViewStore]:
    from tallymark.access.door import open_for_tokens

    return closing(open_for_tokens(Settings.load(os.environ)))


def _print(document: dict[str, Any]) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(document))
