"""Yamux with a bound on what a peer can make this node hold.

py-libp2p 0.8.1 stores whatever arrives, even beyond the window it granted, and starts any number of
streams. Here the receive path is replaced: a stream whose sender passes its window is reset, and so is one
that would take the connection above its total; frames, inbound streams and the time of each write are
bounded. What remains of the base class is the stream object and its reading side, so the version is pinned
and checked by a test.
Source: hashicorp/yamux `spec.md`; libp2p `stream_muxer/yamux/yamux.py`.
"""

import struct
from collections.abc import Callable
from typing import Final

import trio

from node.network.counters import Counters
from node.network.libp2p_parts import (
    ID,
    ConnectionClosedError,
    ISecureConn,
    MuxedStreamError,
    Yamux,
    YamuxStream,
    read_exactly,
    yamux,
)

MUXER_PROTOCOL: Final = yamux.PROTOCOL_ID

WINDOW_BYTES: Final = 1 << 20
"""Receive window of a stream once its reader has read; Yamux starts every stream at a quarter of it."""

BUFFER_BYTES_MAX: Final = 8 * WINDOW_BYTES
"""Most that one connection may hold unread, all streams together."""

INBOUND_STREAMS_MAX: Final = 64
"""Streams that one peer may have open towards us: two for each protocol, and concurrent requests."""

WRITE_TIMEOUT_S: Final = 5.0
"""A peer whose socket takes no byte for this long is stopped or gone."""


class MuxerViolation(Exception):
    """The peer broke Yamux itself; the connection cannot go on."""


class BoundedStream(YamuxStream):
    """A stream that grants credit only up to a fixed window."""

    async def _auto_tune_and_send_window_update(self, *, bytes_read: int = 0) -> None:
        credit = WINDOW_BYTES - self.recv_window - len(self.conn.stream_buffers.get(self.stream_id, b""))
        if credit >= WINDOW_BYTES // 2 and not self.recv_closed:
            self.recv_window += credit
            await self.send_window_update(credit)


class BoundedYamux(Yamux):
    """One multiplexed connection. `run` reads it until it ends; `shutdown` ends it without waiting."""

    def __init__(
        self, secured_conn: ISecureConn, peer_id: ID, close_socket: Callable[[], None], counters: Counters
    ) -> None:
        super().__init__(secured_conn, peer_id, is_initiator=secured_conn.is_initiator)
        self._close_socket = close_socket
        self.counters = counters

    async def run(self) -> None:
        """Receive frames until the connection ends. Raises MuxerViolation or what the socket raised."""
        try:
            while await self._receive_frame():
                pass
        finally:
            self.shutdown()

    def shutdown(self) -> None:
        """Close the socket first, then wake everyone who waits for a stream. May be called twice."""
        self._close_socket()
        self.event_shutting_down.set()
        self.new_stream_send_channel.close()
        for stream in self.streams.values():
            _mark_reset(stream)
        for event in self.stream_events.values():
            event.set()
        self.streams.clear()
        self.stream_buffers.clear()
        self.stream_events.clear()
        self.event_closed.set()

    async def open_stream(self) -> YamuxStream:
        """A new stream to the peer. Raises MuxedStreamError if the connection has ended."""
        if self.event_shutting_down.is_set():
            raise MuxedStreamError("the connection has ended")
        stream = self._add_stream(self.next_stream_id, is_initiator=True)
        self.next_stream_id += 2
        await self._write_frame(_header(yamux.TYPE_WINDOW_UPDATE, yamux.FLAG_SYN, stream.stream_id, 0))
        return stream

    async def _write_frame(self, data: bytes) -> None:
        """Write one frame whole: a frame cut off by a cancellation would garble the encrypted connection."""
        async with self._write_lock:
            if self.event_shutting_down.is_set():
                raise ConnectionClosedError("the connection has ended")
            with trio.move_on_after(WRITE_TIMEOUT_S, shield=True) as deadline:
                await self.secured_conn.write(data)
        if deadline.cancelled_caught:
            self.shutdown()
            raise ConnectionClosedError("the peer takes no bytes")

    async def _receive_frame(self) -> bool:
        """Handle one frame; False when the peer said that it leaves."""
        header = await read_exactly(self.secured_conn, yamux.HEADER_SIZE)
        version, kind, flags, stream_id, length = struct.unpack(yamux.YAMUX_HEADER_FORMAT, header)
        if version != 0 or kind > yamux.TYPE_GO_AWAY:
            raise MuxerViolation(f"frame of version {version}, type {kind}")
        if kind == yamux.TYPE_DATA:
            if length > WINDOW_BYTES:
                raise MuxerViolation(f"data frame of {length} bytes")
            await self._on_data(flags, stream_id, await read_exactly(self.secured_conn, length))
        elif kind == yamux.TYPE_WINDOW_UPDATE:
            stream = await self._stream(flags, stream_id)
            if stream is not None:
                stream.send_window += length
                self._on_flags(stream, flags)
        elif kind == yamux.TYPE_PING and flags & yamux.FLAG_SYN:
            await self._write_frame(_header(yamux.TYPE_PING, yamux.FLAG_ACK, 0, length))
        return bool(kind != yamux.TYPE_GO_AWAY)

    async def _on_data(self, flags: int, stream_id: int, body: bytes) -> None:
        stream = await self._stream(flags, stream_id)
        if stream is None:
            return
        held = sum(map(len, self.stream_buffers.values()))
        if len(body) > stream.recv_window or held + len(body) > BUFFER_BYTES_MAX:
            self.counters.streams_flooded += 1
            await self._refuse(stream)
            return
        self.stream_buffers[stream_id].extend(body)
        stream.recv_window -= len(body)
        self.stream_events[stream_id].set()
        self._on_flags(stream, flags)

    async def _stream(self, flags: int, stream_id: int) -> YamuxStream | None:
        """The stream that a frame is for, new if it says so; None if it was reset a moment ago."""
        if not flags & yamux.FLAG_SYN:
            return self.streams.get(stream_id)
        if stream_id in self.streams or stream_id % 2 == self.next_stream_id % 2:
            raise MuxerViolation(f"stream {stream_id} cannot be opened")
        self._sweep_stale_streams()
        stream = self._add_stream(stream_id, is_initiator=False)
        if sum(not each.is_initiator for each in self.streams.values()) > INBOUND_STREAMS_MAX:
            await self._refuse(stream)
            return None
        await self._write_frame(_header(yamux.TYPE_WINDOW_UPDATE, yamux.FLAG_ACK, stream_id, 0))
        await self.new_stream_send_channel.send(stream)
        return self.streams.get(stream_id)

    def _on_flags(self, stream: YamuxStream, flags: int) -> None:
        if flags & yamux.FLAG_RST:
            self._forget(stream)
        elif flags & yamux.FLAG_FIN:
            stream.recv_closed = True
            self.stream_events[stream.stream_id].set()
            if stream.send_closed:
                stream.closed = True
                self._finalize_stream_locked(stream, fully_closed=True)

    async def _refuse(self, stream: YamuxStream) -> None:
        self._forget(stream)
        await self._write_frame(_header(yamux.TYPE_WINDOW_UPDATE, yamux.FLAG_RST, stream.stream_id, 0))

    def _add_stream(self, stream_id: int, *, is_initiator: bool) -> YamuxStream:
        stream = BoundedStream(stream_id, self, is_initiator)
        self.streams[stream_id] = stream
        self.stream_buffers[stream_id] = bytearray()
        self.stream_events[stream_id] = trio.Event()
        return stream

    def _forget(self, stream: YamuxStream) -> None:
        _mark_reset(stream)
        self.stream_events[stream.stream_id].set()
        del self.streams[stream.stream_id]
        del self.stream_buffers[stream.stream_id]
        del self.stream_events[stream.stream_id]


def _mark_reset(stream: YamuxStream) -> None:
    stream.closed = stream.send_closed = stream.recv_closed = stream.reset_received = True


def _header(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    return struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, kind, flags, stream_id, length)
