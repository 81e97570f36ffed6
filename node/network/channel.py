"""Notifications: frames to one peer or to all, never waiting for anybody, bounded on both sides.

Every peer has two lanes for each protocol, urgent and bulk, each one persistent stream with one writer.
Votes go by the urgent lane and so overtake a proposal that is half written.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, NamedTuple

import trio

from node.network.counters import Counters
from node.network.identity import PeerId
from node.network.negotiation import NegotiationFailed, ProtocolUnsupported
from node.network.peers import PeerInfo
from node.network.streams import FRAME_HEADER_BYTES, Stream, StreamClosed, frame

COALESCE_BYTES: Final = 64 * 1024
"""Small frames are written together up to this size: one encryption and one system call for many votes."""

STALL_S: Final = 10.0
"""A peer that has not taken what was written for this long is stopped; the connection is given up."""

REOPEN_S: Final = 1.0
"""Pause before a stream that the peer reset is opened again."""

LANES: Final = 2
"""Streams that a peer may have open for one protocol."""


class Received(NamedTuple):
    """A frame, and who sent it."""

    peer: PeerId
    frame: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLimits:
    """Bounds of one notification protocol."""

    frame_bytes_max: int
    queue_frames_max: int
    """Frames that wait for one peer in one lane."""

    queue_bytes_max: int
    """Bytes that wait for one peer in one lane; a single frame may exceed it."""

    inbox_frames_max: int
    """Frames that wait to be handled here; one peer may fill at most half."""

    inbox_bytes_max: int
    """Their bytes; of these too one peer may fill at most half, with a single frame at least."""


class Lane:
    """Frames that wait for one stream. When it is full the newest is lost."""

    def __init__(self, limits: ChannelLimits) -> None:
        self._limits = limits
        self._waiting: dict[Hashable, bytes] = {}
        self._bytes = 0
        self._filled = trio.Event()
        self._closed = False

    def put(self, data: bytes, replaces: Hashable | None) -> bool:
        """Queue one frame, in the place of a queued one with the same `replaces`; False if it is lost."""
        key = object() if replaces is None else replaces
        size = self._bytes + len(data) - len(self._waiting.get(key, b""))
        full = len(self._waiting) >= self._limits.queue_frames_max and key not in self._waiting
        if self._closed or full or (size > self._limits.queue_bytes_max and size > len(data)):
            return False
        self._waiting[key] = data
        self._bytes = size
        self._filled.set()
        return True

    async def take(self) -> tuple[int, bytes]:
        """Wait for frames; how many, and their bytes on the wire, coalesced."""
        await self._filled.wait()
        taken = bytearray()
        count = 0
        for key, data in list(self._waiting.items()):
            if count and len(taken) + len(data) + FRAME_HEADER_BYTES > COALESCE_BYTES:
                break
            del self._waiting[key]
            self._bytes -= len(data)
            taken += frame(data)
            count += 1
        if not self._waiting:
            self._filled = trio.Event()
        return count, bytes(taken)

    def close(self) -> int:
        """Accept no more; how many frames are lost by that."""
        lost = len(self._waiting)
        self._closed = True
        self._waiting.clear()
        return lost


Lanes = tuple[Lane, Lane]
"""The urgent and the bulk lane of one peer."""


class Inbox:
    """Frames that arrived and wait to be handled. No peer can keep the others out."""

    def __init__(self, limits: ChannelLimits) -> None:
        self._limits = limits
        self._send, self._receive = trio.open_memory_channel[Received](limits.inbox_frames_max)
        self._frames: Counter[PeerId] = Counter()
        self._bytes: Counter[PeerId] = Counter()

    def put(self, received: Received) -> bool:
        """False if the inbox, or the peer's share of it, is full and the frame is lost."""
        peer, size = received.peer, len(received.frame)
        if not self._has_room(peer, size):
            return False
        try:
            self._send.send_nowait(received)
        except trio.WouldBlock:
            return False
        self._frames[peer] += 1
        self._bytes[peer] += size
        return True

    def _has_room(self, peer: PeerId, size: int) -> bool:
        if self._frames[peer] == 0:
            share = True
        else:
            share = (
                self._frames[peer] < self._limits.inbox_frames_max // 2
                and self._bytes[peer] + size <= self._limits.inbox_bytes_max // 2
            )
        return share and (
            self._bytes.total() == 0 or self._bytes.total() + size <= self._limits.inbox_bytes_max
        )

    async def receive(self) -> Received:
        """The oldest frame, when there is one."""
        return self._taken(await self._receive.receive())

    def receive_nowait(self) -> Received:
        """The oldest frame. Raises trio.WouldBlock if there is none."""
        return self._taken(self._receive.receive_nowait())

    def __aiter__(self) -> "Inbox":
        return self

    async def __anext__(self) -> Received:
        return await self.receive()

    def _taken(self, received: Received) -> Received:
        self._frames[received.peer] -= 1
        self._bytes[received.peer] -= len(received.frame)
        if not self._frames[received.peer]:
            del self._frames[received.peer], self._bytes[received.peer]
        return received


class Channel:
    """One notification protocol, to and from every peer."""

    def __init__(self, protocol: str, limits: ChannelLimits, counters: Counters) -> None:
        self.protocol: Final = protocol
        self.limits: Final = limits
        self.inbox: Final = Inbox(limits)
        self._counters = counters
        self._lanes: dict[PeerId, tuple[PeerInfo, Lanes]] = {}
        self._reading: Counter[PeerId] = Counter()

    def send(
        self, peer: PeerId, data: bytes, *, urgent: bool = False, replaces: Hashable | None = None
    ) -> bool:
        """Queue `data` for `peer`; False if it is lost, because the queue is full or the peer not connected.

        `replaces`: a queued frame with the same value gives up its place to this one.
        """
        assert len(data) <= self.limits.frame_bytes_max
        queued = self._lanes.get(peer)
        if queued is not None and queued[1][0 if urgent else 1].put(data, replaces):
            return True
        self._counters.dropped_out[self.protocol] += 1
        return False

    def broadcast(
        self,
        data: bytes,
        *,
        where: Callable[[PeerInfo], bool] = lambda peer: True,
        urgent: bool = False,
        replaces: Hashable | None = None,
    ) -> int:
        """Queue `data` for every connected peer that `where` accepts; for how many it was queued."""
        chosen = [peer for peer, (info, _) in self._lanes.items() if where(info)]
        return sum(self.send(peer, data, urgent=urgent, replaces=replaces) for peer in chosen)

    def open(self, peer: PeerInfo) -> Lanes:
        """Start queueing for a peer that has connected; its lanes, urgent first."""
        lanes = Lane(self.limits), Lane(self.limits)
        self._lanes[peer.peer_id] = peer, lanes
        return lanes

    def close(self, lanes: Lanes) -> None:
        """Stop queueing into `lanes`: their connection has ended."""
        self._counters.dropped_out[self.protocol] += sum(lane.close() for lane in lanes)
        self._lanes = {peer: queued for peer, queued in self._lanes.items() if queued[1] is not lanes}

    async def write(
        self, lane: Lane, open_stream: Callable[[str], Awaitable[Stream]], stalled: Callable[[], None]
    ) -> None:
        """Write the frames of `lane` to one stream, opened with the first frame and again when it breaks."""
        stream = None
        while True:
            count, data = await lane.take()
            lost = count
            try:
                with trio.fail_after(STALL_S):
                    stream = stream or await open_stream(self.protocol)
                    await stream.write(data)
                self._counters.frames_out[self.protocol] += count
                lost = 0
            except ProtocolUnsupported:
                lost += lane.close()
                return
            except (StreamClosed, NegotiationFailed):
                stream = None
                await trio.sleep(REOPEN_S)
            except trio.TooSlowError:
                stalled()
                return
            finally:
                self._counters.dropped_out[self.protocol] += lost

    async def receive(self, stream: Stream) -> None:
        """Read a peer's frames into the inbox, until the stream ends.

        Raises ProtocolViolation, StreamClosed.
        """
        if self._reading[stream.peer] >= LANES:
            await stream.reset()
            return
        self._reading[stream.peer] += 1
        try:
            while True:
                data = await stream.read_frame(self.limits.frame_bytes_max)
                taken = self.inbox.put(Received(stream.peer, data))
                (self._counters.frames_in if taken else self._counters.dropped_in)[self.protocol] += 1
        finally:
            self._reading[stream.peer] -= 1
            if not self._reading[stream.peer]:
                del self._reading[stream.peer]
