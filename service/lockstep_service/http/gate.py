"""The gate: whether the service is stopping."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Gate:
    """Whether the service is stopping.

    Attributes:
        stopping: true from the first signal on, while requests in flight are still answered. The
            service then reports that it is not ready.
    """

    stopping: bool = False
