"""Time and network of the simulation: one queue of events, one seed, no clock."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Final, Protocol

from node.consensus.interface import Peer
from node.consensus.messages import MESSAGE, Message, read_message
from primitives.codec import CodecError
from tests.simulation.scenario import Weather

FRAMES_MAX: Final = 200_000
"""Far more than any honest run needs."""


class Endpoint(Protocol):
    """Somebody on the network."""

    name: str
    address: Peer
    is_fast: bool
    """Whether frames from and to it take a millisecond."""

    def deliver(self, sender: Peer, message: Message) -> None:
        """Take in a message."""


@dataclass
class World:
    """Everything outside the nodes."""

    seed: int
    weather: Weather
    now_ms: int = 0
    endpoints: list[Endpoint] = field(default_factory=list)
    trace: list[str] | None = None
    frames: int = 0
    overhear: Callable[[Message], None] | None = None
    """Told of every message that is sent."""

    _queue: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0
    _streams: dict[str, Random] = field(default_factory=dict)

    def stream(self, purpose: str) -> Random:
        """Chance for one purpose; others do not disturb it."""
        if purpose not in self._streams:
            self._streams[purpose] = Random(f"{self.seed} {purpose}")
        return self._streams[purpose]

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        """Run `action` at a moment that is not past."""
        self._count += 1
        heapq.heappush(self._queue, (max(time_ms, self.now_ms), self._count, action))

    def run(self, until_ms: int, is_done: Callable[[], bool]) -> bool:
        """Whether `is_done` became true in time; asked after every event."""
        while self._queue and self._queue[0][0] <= until_ms:
            self.now_ms, _, action = heapq.heappop(self._queue)
            action()
            if is_done():
                return True
        return False

    def note(self, who: str, what: str, *details: object) -> None:
        """Add a line to the trace, if there is one."""
        if self.trace is not None:
            self.trace.append(f"{self.now_ms:7} {who:9} {what} {' '.join(map(str, details))}".rstrip())

    def send(self, sender: Endpoint, to: Peer | None, message: Message) -> None:
        """Encode a message and let the weather have it."""
        if self.overhear is not None:
            self.overhear(message)
        self.send_frame(sender, to, MESSAGE.encode(message))

    def send_frame(self, sender: Endpoint, to: Peer | None, frame: bytes) -> None:
        """Let the weather have some bytes."""
        for receiver in self.endpoints:
            if receiver is not sender and (to is None or receiver.address == to):
                self._transmit(sender, receiver, frame)

    def _transmit(self, sender: Endpoint, receiver: Endpoint, frame: bytes) -> None:
        weather, is_storm = self.weather, self.now_ms < self.weather.well_from_ms
        chance = self.stream(f"{sender.name}>{receiver.name}").random
        copies = 1
        if is_storm:
            if self.is_cut(sender.name, receiver.name) or chance() * 100 < weather.loss_percent:
                return
            copies += chance() * 100 < weather.duplication_percent
        slowest = weather.storm_delay_ms if is_storm else weather.delay_ms
        if sender.is_fast or receiver.is_fast:
            slowest = 1
        for _ in range(copies):
            delay = 1 + int(chance() * slowest)
            self.at(self.now_ms + delay, lambda: self._arrive(sender, receiver, frame))

    def is_cut(self, first: str, second: str) -> bool:
        """Whether nothing passes between two nodes now."""
        weather, now_ms = self.weather, self.now_ms
        if now_ms >= weather.well_from_ms:
            return False
        if weather.blackout and weather.blackout[0] <= now_ms < weather.blackout[1]:
            return True
        return any(
            cut.since_ms <= now_ms < cut.until_ms and (first in cut.side) != (second in cut.side)
            for cut in weather.partitions
        )

    def _arrive(self, sender: Endpoint, receiver: Endpoint, frame: bytes) -> None:
        self.frames += 1
        assert self.frames < FRAMES_MAX, "no end of messages"
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
