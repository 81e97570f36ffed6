"""Streams as the rest of the network sees them, and the one wrapper around every handler of a stream."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from node.network.counters import Counters
from node.network.identity import PeerId
from node.network.libp2p_parts import BaseLibp2pError, NoiseInvalidMessage, YamuxStream
from node.network.negotiation import NegotiationFailed

LOGGER: Final = logging.getLogger(__name__)

FRAME_HEADER_BYTES: Final = 4
"""A frame is its length, big-endian, and that many bytes."""

READ_AHEAD_BYTES: Final = 64 * 1024
FRAME_TIMEOUT_S: Final = 30.0
"""A frame that has begun must be whole within this time: 16 MiB at 0.6 MB/s."""

HANDLER_FAILURE_COST: Final = 10
"""What a peer pays for input on which our own code raised: perhaps its fault, surely not worth repeating."""

BROKEN: Final = (
    BaseLibp2pError,
    NoiseInvalidMessage,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    OSError,
    KeyError,
)
"""What a py-libp2p stream raises when its connection is gone or does not decrypt; KeyError is from its table
of streams."""


class StreamClosed(Exception):
    """The stream, or the connection under it, has ended."""


class ProtocolViolation(Exception):
    """The peer's data is bad. Handlers raise it to have the stream reset and the peer charged."""

    def __init__(self, reason: str, cost: int = 20) -> None:
        """`cost` is taken from the peer's score; 100 is a ban."""
        super().__init__(reason)
        self.reason = reason
        self.cost = cost


class Stream:
    """One stream to one peer, after both ends agreed on its protocol."""

    def __init__(self, muxed: YamuxStream, peer: PeerId, counters: Counters, protocol: str = "") -> None:
        self._muxed = muxed
        self._counters = counters
        self._unread = bytearray()
        self.peer = peer
        self.protocol = protocol

    async def read(self, length_max: int) -> bytes:
        """At least one byte and at most `length_max`. Raises StreamClosed."""
        if not self._unread:
            await self._fill(length_max)
        return self._taken(length_max)

    async def read_exactly(self, length: int) -> bytes:
        """Exactly `length` bytes. Raises StreamClosed."""
        while len(self._unread) < length:
            await self._fill(length - len(self._unread))
        return self._taken(length)

    async def read_frame(self, length_max: int) -> bytes:
        """One frame, waiting for its start as long as it takes.

        Raises ProtocolViolation if it is longer than `length_max` or stalls half-way, StreamClosed.
        """
        header = await self.read_exactly(1)
        try:
            with trio.fail_after(FRAME_TIMEOUT_S):
                header += await self.read_exactly(FRAME_HEADER_BYTES - 1)
                length = int.from_bytes(header, "big")
                if length > length_max:
                    raise ProtocolViolation(f"frame of {length} bytes, limit {length_max}")
                return await self.read_exactly(length)
        except trio.TooSlowError:
            raise ProtocolViolation("frame stalled half-way") from None

    async def _fill(self, wanted: int) -> None:
        """Read on, a little ahead: many small frames arrive together."""
        try:
            data = await self._muxed.read(max(wanted, READ_AHEAD_BYTES))
        except BROKEN as error:
            raise StreamClosed(str(error)) from error
        self._unread += data
        self._counters.stream_bytes_in[self.protocol] += len(data)

    def _taken(self, length: int) -> bytes:
        data = bytes(self._unread[:length])
        del self._unread[:length]
        return data

    async def write(self, data: bytes) -> None:
        """Write all of `data`. Raises StreamClosed."""
        try:
            await self._muxed.write(data)
        except BROKEN as error:
            raise StreamClosed(str(error)) from error
        self._counters.stream_bytes_out[self.protocol] += len(data)

    async def close(self) -> None:
        """Say that nothing more will be written; reading goes on."""
        try:
            await self._muxed.close()
        except BROKEN:
            return

    async def reset(self) -> None:
        """End the stream in both directions at once."""
        with trio.move_on_after(1, shield=True):
            try:
                await self._muxed.reset()
            except BROKEN:
                return


def frame(payload: bytes) -> bytes:
    """`payload` behind its length."""
    return len(payload).to_bytes(FRAME_HEADER_BYTES, "big") + payload


StreamHandler = Callable[[Stream], Awaitable[None]]
Charge = Callable[[PeerId, str, int], None]
"""Take a cost off a peer's score, for a reason."""


async def supervise(stream: Stream, handler: StreamHandler, charge: Charge) -> None:
    """Run one handler to its end. No exception of its passes: the stream is reset and the peer pays."""
    try:
        await handler(stream)
        await stream.close()
        return
    except (StreamClosed, NegotiationFailed) as error:
        LOGGER.debug("stream %s of %s ended: %s", stream.protocol, stream.peer, error)
    except ProtocolViolation as violation:
        charge(stream.peer, violation.reason, violation.cost)
    except Exception:
        LOGGER.exception("handler of %s failed on input of %s", stream.protocol, stream.peer)
        charge(stream.peer, f"handler of {stream.protocol} failed", HANDLER_FAILURE_COST)
    await stream.reset()
