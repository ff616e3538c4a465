"""The `tallymark` command: what it offers (`table`), how it loads that (`root`), and how commands speak to people
(`terminal`) and to Prometheus (`textfile`).

Here is no command. They live in the `commands` of the layers and in `infra`; the table names them as text, and they are
imported when somebody calls one.
"""

from __future__ import annotations

__all__ = ["lifeline", "root", "terminal", "textfile"]
