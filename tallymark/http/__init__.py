"""What the gateway and the API share: problems, middleware, and how they are served."""

from __future__ import annotations

__all__ = ["problems", "server"]
