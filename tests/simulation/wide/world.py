"""Links and processors of a world-wide network, in simulated milliseconds.

A frame leaves when the sender's uplink is free, takes the measured time between the two cities, and is worked
on when the receiver's processor is free. Urgent frames (votes) have a lane of their own and do not wait for
blocks. Not modelled: congestion inside the network, TCP's slow start, the receiver's downlink.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.simulation.wide.cities import Delays

FRAME_OVERHEAD_BYTES = 32
"""Length, Noise tag and Yamux header."""

WIRE_FACTOR = 1.04
"""TCP and IP headers on full segments."""

JITTER = 0.1
"""A frame takes up to so much longer than its link, at random."""

RECEIVE_MS = 0.4
"""Processor time that the real network takes for one small frame: 2,500 a second when they come together."""

RECEIVE_MS_PER_MIB = 16.0
"""And for bulk: decryption and muxing at 60 MiB a second."""


@dataclass(slots=True)
class Traffic:
    """What went over one node's links."""

    sent_bytes: float = 0.0
    received_bytes: float = 0.0
    sent_frames: int = 0
    received_frames: int = 0


@dataclass(slots=True)
class _Uplink:
    bulk_free_ms: float = 0.0
    urgent_free_ms: float = 0.0


@dataclass
class Wide:
    """One queue of events, one seed, no clock."""

    delays: Delays
    uplink_bytes_per_ms: float
    random: Random
    now_ms: float = 0.0
    cut: Callable[[int, int], bool] = lambda sender, receiver: False
    """Whether nothing passes between two nodes now."""

    traffic: list[Traffic] = field(default_factory=list)
    _uplinks: list[_Uplink] = field(default_factory=list)
    _receivers: list[tuple[str, Callable[[int, bytes], None]]] = field(default_factory=list)
    _queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0

    def join(self, city: str, receive: Callable[[int, bytes], None]) -> int:
        """One more node; its number. `receive` is given the sender's number and the frame."""
        self._receivers.append((city, receive))
        self._uplinks.append(_Uplink())
        self.traffic.append(Traffic())
        return len(self._receivers) - 1

    def at(self, time_ms: float, action: Callable[[], None]) -> None:
        """Run `action` at a moment that is not past."""
        self._count += 1
        heapq.heappush(self._queue, (max(time_ms, self.now_ms), self._count, action))

    def run(self, until_ms: float, is_done: Callable[[], bool]) -> None:
        """Let time pass until `is_done`, asked after every event, or until the moment given."""
        while self._queue and self._queue[0][0] <= until_ms and not is_done():
            self.now_ms, _, action = heapq.heappop(self._queue)
            action()

    def send(self, sender: int, receivers: list[int], frame: bytes, *, urgent: bool) -> None:
        """Send one frame to some nodes, one after the other."""
        size = (len(frame) + FRAME_OVERHEAD_BYTES) * WIRE_FACTOR
        uplink = self._uplinks[sender]
        took_ms = size / self.uplink_bytes_per_ms
        for receiver in receivers:
            free_ms = uplink.urgent_free_ms if urgent else uplink.bulk_free_ms
            left_ms = max(self.now_ms, free_ms) + took_ms
            if urgent:
                uplink.urgent_free_ms = left_ms
            else:
                uplink.bulk_free_ms = left_ms
            self.traffic[sender].sent_bytes += size
            self.traffic[sender].sent_frames += 1
            if not self.cut(sender, receiver):
                self._deliver(sender, receiver, frame, size, left_ms)

    def _deliver(self, sender: int, receiver: int, frame: bytes, size: float, left_ms: float) -> None:
        city, receive = self._receivers[receiver]
        link_ms = self.delays[self._receivers[sender][0], city]
        arrives_ms = left_ms + link_ms * (1 + JITTER * self.random.random())

        def arrive() -> None:
            self.traffic[receiver].received_bytes += size
            self.traffic[receiver].received_frames += 1
            receive(sender, frame)

        self.at(arrives_ms, arrive)
