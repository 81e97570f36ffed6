"""One connection after its handshake: its streams, its end, and the reason of that end."""

from typing import Final

import trio

from node.network import hello, negotiation
from node.network.identity import PeerId
from node.network.libp2p_parts import MuxedConnUnavailable, YamuxStream
from node.network.muxer import BoundedYamux
from node.network.streams import BROKEN, ProtocolViolation, Stream, StreamClosed, frame
from node.network.transport import Socket
from primitives.codec import CodecError

NEGOTIATION_S: Final = 5.0
"""Both ends must agree on a stream's protocol within this time."""

GOODBYE_S: Final = 1.0
"""How long a peer that was told goodbye may take to close the connection itself."""


class Session:
    """A connection to one peer. Closing it closes the socket first, which wakes all that waits on it."""

    def __init__(self, muxer: BoundedYamux, peer: PeerId, socket: Socket, *, outbound: bool) -> None:
        self._muxer = muxer
        self._socket = socket
        self.peer: Final = peer
        self.outbound: Final = outbound
        self.remote_host: Final = socket.remote_host
        self.heard_at = trio.current_time()
        """When the peer last gave a sign of life."""

        self.reason: str = hello.Refusal.STOPPING
        """Why the session ended, once it has."""

        self.leaving = False
        """Whether the peer is to be told goodbye."""

        self._nudged = trio.Event()

    async def run(self) -> None:
        """Receive until the connection ends. Raises MuxerViolation; an ordinary end returns."""
        ended = "closed by the peer"
        try:
            await self._muxer.run()
        except BROKEN as error:
            ended = f"connection lost: {error}"
        self._note(ended)

    def close(self, reason: str) -> None:
        """End the connection now."""
        self._note(reason)
        self._muxer.shutdown()

    def leave(self, reason: str) -> None:
        """Tell the peer goodbye with `reason`, then close."""
        self._note(reason)
        self.leaving = True
        self.nudge()

    def _note(self, reason: str) -> None:
        """Keep the first reason: whatever else fails on the connection follows from it."""
        if self.reason == hello.Refusal.STOPPING:
            self.reason = reason

    def nudge(self) -> None:
        """There is news for the peer, before the next heartbeat."""
        self._nudged.set()

    async def pause(self, at_most_s: float) -> None:
        """Wait for a nudge."""
        with trio.move_on_after(at_most_s):
            await self._nudged.wait()
        self._nudged = trio.Event()

    async def accept_stream(self) -> Stream:
        """The next stream that the peer opens. Raises StreamClosed when the connection has ended."""
        try:
            muxed = await self._muxer.accept_stream()
        except MuxedConnUnavailable as error:
            raise StreamClosed(str(error)) from error
        assert isinstance(muxed, YamuxStream)
        return Stream(muxed, self.peer, self._muxer.counters)

    async def open_stream(self, protocol: str) -> Stream:
        """A stream on which the peer speaks `protocol`. Raises NegotiationFailed, StreamClosed."""
        try:
            stream = Stream(await self._muxer.open_stream(), self.peer, self._muxer.counters, protocol)
        except BROKEN as error:
            raise StreamClosed(str(error)) from error
        try:
            with trio.fail_after(NEGOTIATION_S):
                await negotiation.select(stream, protocol)
        except trio.TooSlowError:
            await stream.reset()
            raise negotiation.NegotiationFailed("no answer") from None
        except BaseException:
            await stream.reset()
            raise
        return stream

    async def ended(self, at_most_s: float) -> None:
        """Give the peer a moment to close the connection itself."""
        with trio.move_on_after(at_most_s):
            await self._muxer.event_closed.wait()

    async def say_goodbye(self, stream: Stream, reason: str) -> None:
        """Best effort: the last frame on the hello stream, and a moment for it to arrive."""
        with trio.move_on_after(GOODBYE_S):
            try:
                await send(stream, hello.Goodbye(reason=reason[: hello.REASON_LENGTH_MAX]))
            except StreamClosed:
                return
            await self._muxer.event_closed.wait()


async def send(stream: Stream, message: hello.Message) -> None:
    """Write one message of the hello protocol. Raises StreamClosed."""
    await stream.write(frame(hello.MESSAGES.encode(message)))


async def receive(stream: Stream) -> hello.Message:
    """Read one message of the hello protocol. Raises ProtocolViolation, StreamClosed."""
    data = await stream.read_frame(hello.FRAME_BYTES_MAX)
    try:
        return hello.MESSAGES.decode(data)
    except CodecError as error:
        raise ProtocolViolation(f"malformed hello message: {error}") from None
