"""`tallymark`, and `python -m tallymark`: the one command for everything, see `tallymark --help`."""

from __future__ import annotations

import json
import os
import sys
from typing import Final

from tallymark.errors import TallymarkError

__all__ = ["main"]

_INTERRUPTED: Final = 130


def main() -> None:
    """Run the command in `sys.argv` and exit: 0 done, 1 an error that is explained, 2 usage, 130 interrupted."""
    if "LIFELINE_FD" in os.environ:
        from tallymark.cli.lifeline import follow

        follow(int(os.environ.pop("LIFELINE_FD")))
    try:
        from tallymark.cli.root import root

        root()(prog_name="tallymark")
    except TallymarkError as error:
        _explain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _explain(error: TallymarkError) -> None:
    """Who asked for JSON gets JSON, as the last line of standard output; everybody gets the words."""
    if "--json" in sys.argv:
        told = {"error": str(error), "kind": type(error).__name__, "retriable": error.retriable}
        print(json.dumps(told), flush=True)
    print(f"error: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
