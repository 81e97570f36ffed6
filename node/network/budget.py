"""So much for each network, and again after a while: a bound that a reconnection does not reset. Pure."""

from collections import OrderedDict
from typing import Final

NETWORKS_MAX: Final = 1024
"""Networks that are remembered; the one whose window began first is forgotten."""


class Budget:
    """How often each network may have something within a window of time."""

    def __init__(self, count_max: int, window_s: float) -> None:
        self._count_max = count_max
        self._window_s = window_s
        self._spent: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """When each network's window began, and what it has spent since; the oldest first."""

    def allows(self, network: str, now: float) -> bool:
        """Whether the network has anything left."""
        began, spent = self._spent.get(network, (now, 0))
        return spent < self._count_max or now - began >= self._window_s

    def spend(self, network: str, now: float) -> None:
        """Take one from what the network has."""
        began, spent = self._spent.get(network, (now, 0))
        if now - began >= self._window_s:
            del self._spent[network]
            began, spent = now, 0
        self._spent[network] = began, spent + 1
        if len(self._spent) > NETWORKS_MAX:
            self._spent.popitem(last=False)
