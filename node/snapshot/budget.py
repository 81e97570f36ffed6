"""How much one peer, and all of them together, may have read for them. Pure: time is an argument."""

from collections.abc import Hashable
from typing import Final

BUDGETS_MAX: Final = 256
"""Askers that are remembered; whoever has waited long enough is forgotten first."""


class Budget:
    """An allowance in bytes for each asker, which refills at a steady rate."""

    def __init__(self, bytes_per_s: float, burst_bytes: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._burst_s = burst_bytes / bytes_per_s
        self._paid_until: dict[Hashable, float] = {}

    def wait_s(self, asker: Hashable, now: float) -> float:
        """How long the asker has to wait for its next answer."""
        return max(0.0, self._paid_until.get(asker, 0.0) - self._burst_s - now)

    def charge(self, asker: Hashable, size_bytes: int, now: float) -> None:
        """Note what an answer has cost."""
        paid_until = max(now, self._paid_until.pop(asker, now))
        self._paid_until[asker] = paid_until + size_bytes / self._bytes_per_s
        if len(self._paid_until) > BUDGETS_MAX:
            self._paid_until = {each: until for each, until in self._paid_until.items() if until > now}
