"""Whether the service still takes requests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Gate:
    """Whether the service is stopping; readiness says so before the last request is answered."""

    stopping: bool = False
