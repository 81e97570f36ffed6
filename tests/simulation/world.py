"""Time and network of the simulation: one queue of events, one seed, no clock."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Protocol

from node.consensus.interface import Peer
from node.consensus.messages import MESSAGE, Message, read_message
from primitives.codec import CodecError


class Endpoint(Protocol):
    """Somebody on the network."""

    name: str
    address: Peer

    def deliver(self, sender: Peer, message: Message) -> None:
        """Take in a message."""


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How the network treats messages until it becomes well."""

    well_from_ms: int
    """Global stabilisation: from here on nothing is lost and nothing takes longer than `delay_ms`."""

    delay_ms: int
    storm_delay_ms: int
    loss: float
    duplication: float
    partitions: tuple[tuple[int, int, frozenset[str]], ...] = ()
    """(from, to, names on one side)."""

    blackout: tuple[int, int] | None = None
    """From when to when nothing arrives anywhere."""


@dataclass
class World:
    """Everything outside the nodes."""

    random: Random
    weather: Weather
    now_ms: int = 0
    endpoints: list[Endpoint] = field(default_factory=list)
    trace: list[str] | None = None
    frames: int = 0
    _queue: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        """Run `action` at a moment that is not past."""
        self._count += 1
        heapq.heappush(self._queue, (max(time_ms, self.now_ms), self._count, action))

    def run(self, until_ms: int, is_done: Callable[[], bool]) -> bool:
        """Whether `is_done` became true in time."""
        while self._queue and self._queue[0][0] <= until_ms:
            self.now_ms, _, action = heapq.heappop(self._queue)
            action()
            if is_done():
                return True
        return False

    def note(self, who: str, what: object) -> None:
        """Add a line to the trace, if there is one."""
        if self.trace is not None:
            self.trace.append(f"{self.now_ms:7} {who:8} {what}")

    def send(self, sender: Endpoint, to: Peer | None, message: Message) -> None:
        """Encode a message and let the weather have it."""
        self.send_frame(sender, to, MESSAGE.encode(message))

    def send_frame(self, sender: Endpoint, to: Peer | None, frame: bytes) -> None:
        """Let the weather have some bytes."""
        for receiver in self.endpoints:
            if receiver is not sender and (to is None or receiver.address == to):
                self._transmit(sender, receiver, frame)

    def _transmit(self, sender: Endpoint, receiver: Endpoint, frame: bytes) -> None:
        weather, is_storm = self.weather, self.now_ms < self.weather.well_from_ms
        copies = 1
        if is_storm:
            if self._is_cut(sender.name, receiver.name) or self.random.random() < weather.loss:
                return
            copies += self.random.random() < weather.duplication
        slowest = weather.storm_delay_ms if is_storm else weather.delay_ms
        for _ in range(copies):
            delay = self.random.randint(1, slowest)
            self.at(self.now_ms + delay, lambda: self._arrive(sender, receiver, frame))

    def _is_cut(self, first: str, second: str) -> bool:
        if self.weather.blackout and self.weather.blackout[0] <= self.now_ms < self.weather.blackout[1]:
            return True
        return any(
            since <= self.now_ms < until and (first in side) != (second in side)
            for since, until, side in self.weather.partitions
        )

    def _arrive(self, sender: Endpoint, receiver: Endpoint, frame: bytes) -> None:
        self.frames += 1
        message = decode(frame)
        if message is not None:
            receiver.deliver(sender.address, message)


@lru_cache(maxsize=4096)
def decode(frame: bytes) -> Message | None:
    """What every node reads in a frame; remembered, because most frames go to everybody."""
    try:
        return read_message(frame)
    except CodecError:
        return None


def pick(random: Random, items: Sequence[str], count: int) -> frozenset[str]:
    """Some of `items`."""
    return frozenset(random.sample(list(items), count))
