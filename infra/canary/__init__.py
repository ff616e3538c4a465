"""The canary: it sends a known number of events through the public path, and asks whether they were counted.

It knows nothing of the inside: what it sees is what producers and readers see. Its videos lie in all shards; each round
takes four of them, so that four rounds pass through every shard.

    command ─▶ probe    a round: look, send, ask until all of it is counted, judge
               ├─▶ path      the gateway and the API, over HTTP
               ├─▶ memory    what earlier rounds sent
               └─▶ notify    alert, metrics, a document in the view store
"""

from __future__ import annotations

from infra.canary.command import canary

__all__ = ["canary"]
