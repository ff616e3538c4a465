"""Who may send, ask and operate (ADR 56).

tokens     what a token is, and the document of the view store that holds all of them
door       what a server goes by: the tokens as they stood a second ago, and a verdict on each request
limits     how much a token may send
commands   `tallymark tokens`
"""

from __future__ import annotations

__all__ = ["commands", "door", "limits", "tokens"]
