"""Faults on purpose, between a node's sockets and everything above them; for test networks only.

They are injected inside the node, below Noise, because nodes learn each other's addresses and would go
around any proxy. Each node harms what it sends, and a cut also stops what it receives. TCP's promises are
kept: bytes come in order or not at all, so that a lost segment shows as lateness of all that is behind it.
"""

import logging
import math
import random
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import trio

from node.network.fault_plan import SOUND, BadPlan, FaultPlan, LinkFaults, read_plan
from node.network.identity import PeerId

LOGGER: Final = logging.getLogger(__name__)

HELD_BYTES_MAX: Final = 1024 * 1024
"""Bytes that one slow link keeps back; then whoever sends waits, as on a full socket."""

RETRANSMIT_MS: Final = 200
"""Least time after which TCP sends a segment again; the round trip is added. The timer's doubling is left
out: votes and heartbeats follow, whose acknowledgements let TCP notice each further loss as soon.
Source: RFC 6298 with Linux's TCP_RTO_MIN; RFC 8985."""

LOSSES_MAX: Final = 8
"""The same segment is not lost more often than that."""


class Wire(Protocol):
    """What carries bytes: a TCP stream, or one with faults."""

    async def receive_some(self, max_bytes: int, /) -> bytes | bytearray: ...

    async def send_all(self, data: bytes, /) -> None: ...


class Faults:
    """The faults in force at one node, read again from their file on SIGHUP."""

    def __init__(self, path: Path, chance: Callable[[], float] = random.random) -> None:
        """`chance`: numbers from 0 to 1, less than 1. Raises BadPlan."""
        self.plan = read_plan(path)
        self._path = path
        self._chance = chance
        self._wires: set[FaultyWire] = set()
        self._changed = trio.Event()
        self._nursery: trio.Nursery

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver what is late, and watch for changes, until cancelled."""
        with trio.open_signal_receiver(signal.SIGHUP) as hangups:
            self._reload()  # a change before this moment came with a signal that nobody received
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                async for _ in hangups:
                    self._reload()

    def apply(self, plan: FaultPlan) -> None:
        """Put other faults in force, on all connections."""
        self.plan = plan
        self._changed.set()
        self._changed = trio.Event()
        for wire in self._wires:
            wire.stir()

    def link(self, peer: PeerId | None) -> LinkFaults:
        """What is wrong with the link to a peer; nothing while it is not known."""
        return SOUND if peer is None else self.plan.links.get(peer, SOUND)

    def clock_ms(self, true_ms: int) -> int:
        """What this node takes for the time."""
        return true_ms + self.plan.clock_ms

    async def until_reachable(self, peer: PeerId) -> None:
        """Wait as long as a connection to `peer` would get no answer."""
        while self.link(peer).cut:
            await self._changed.wait()

    def lateness_s(self, link: LinkFaults) -> float:
        """How late what is sent now comes: delay, jitter, and one retransmission after another."""
        losses = 0
        while losses < LOSSES_MAX and self._chance() < link.loss:
            losses += 1
        late_ms = link.delay_ms + link.jitter_ms * self._chance()
        return (late_ms + losses * (RETRANSMIT_MS + 2 * link.delay_ms)) / 1000

    def add(self, wire: "FaultyWire") -> None:
        """Tell an open connection of changes."""
        self._wires.add(wire)

    def remove(self, wire: "FaultyWire") -> None:
        """Forget a connection that is closed."""
        self._wires.discard(wire)

    def deliver(self, wire: "FaultyWire") -> None:
        """Have what a connection holds back sent when it is due."""
        self._nursery.start_soon(wire.deliver)

    def _reload(self) -> None:
        try:
            self.apply(read_plan(self._path))
        except BadPlan as error:
            LOGGER.error("the faults stay as they are: %s", error)
            return
        harmed = len(self.plan.links)
        LOGGER.info("faults in force: %d links, the clock %+d ms off", harmed, self.plan.clock_ms)


class FaultyWire:
    """A TCP stream to a peer with which something may be wrong. One sender and one receiver at a time."""

    def __init__(
        self, wire: Wire, close: Callable[[], None], faults: Faults, peer: Callable[[], PeerId | None]
    ) -> None:
        """`close` closes `wire` without waiting; `peer` tells who is at its other end, once that is known."""
        self._wire = wire
        self._close = close
        self._faults = faults
        self._peer = peer
        self._held: deque[tuple[float, bytes]] = deque()
        """What was not sent yet, in order, and when it is due: it waits for what is before it as well. What
        is being sent is still the first."""

        self._held_bytes = 0
        self._delivering = False
        self._closed = False
        self._stirred = trio.Event()
        faults.add(self)

    def stir(self) -> None:
        """Wake whoever waits here, to look again."""
        self._stirred.set()
        self._stirred = trio.Event()

    def close(self) -> None:
        """Close without waiting; what is held back is lost."""
        self._closed = True
        self._held.clear()
        self._faults.remove(self)
        self._close()
        self.stir()

    async def receive_some(self, max_bytes: int, /) -> bytes | bytearray:
        """As that of a stream; behind a cut not even its end is seen."""
        try:
            data = await self._wire.receive_some(max_bytes)
        except trio.BrokenResourceError:
            await self._until_whole()
            raise
        await self._until_whole()
        return data

    async def send_all(self, data: bytes, /) -> None:
        """As that of a stream, which takes up to HELD_BYTES_MAX before it waits for the peer."""
        link = self._link
        if link == SOUND and not self._held:
            await self._wire.send_all(data)
            return
        while self._held_bytes >= HELD_BYTES_MAX and not self._closed:
            await self._stirred.wait()
        if self._closed:
            raise trio.ClosedResourceError
        due = trio.current_time() + self._faults.lateness_s(self._link)
        self._held.append((due, bytes(data)))
        self._held_bytes += len(data)
        if not self._delivering:
            self._delivering = True
            self._faults.deliver(self)

    async def deliver(self) -> None:
        """Send what is held back, each piece when it is due, until nothing is."""
        try:
            while self._held:
                due, data = self._held[0]
                link = self._link
                if link.cut or (link != SOUND and due > trio.current_time()):
                    with trio.move_on_at(math.inf if link.cut else due):
                        await self._stirred.wait()
                    continue
                await self._wire.send_all(data)
                self._held_bytes -= len(data)
                if self._held:
                    self._held.popleft()
                self.stir()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._held.clear()  # the receiving side finds out by itself
            self._held_bytes = 0
            self.stir()
        finally:
            self._delivering = False

    @property
    def _link(self) -> LinkFaults:
        return self._faults.link(self._peer())

    async def _until_whole(self) -> None:
        """Wait while the link is cut. Raises ClosedResourceError."""
        while self._link.cut and not self._closed:
            await self._stirred.wait()
        if self._closed:
            raise trio.ClosedResourceError
