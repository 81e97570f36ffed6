"""What happens on a connection after its handshake: hello, registration, heartbeats, streams, and its end."""

import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from node.network import hello, negotiation
from node.network.channel import Channel, Lanes
from node.network.counters import Counters
from node.network.dial import Dialer
from node.network.hello import LocalHello, Refusal, Refused, Status, verify_hello
from node.network.identity import Address, AddressError, PeerId, parse_address
from node.network.muxer import MuxerViolation
from node.network.peers import PeerInfo, PeerTable
from node.network.session import NEGOTIATION_S, Session, receive, send
from node.network.streams import ProtocolViolation, Stream, StreamClosed, StreamHandler, supervise

LOGGER: Final = logging.getLogger(__name__)

HEARTBEAT_S: Final = 1.0
SILENCE_MAX_S: Final = 5.0
"""A peer from which nothing was heard for this long is stopped or unreachable: five heartbeats."""

STALE_S: Final = 2.5
"""A connection this silent gives way to a new one of the same peer."""

MESSAGES_PER_HEARTBEAT_MAX: Final = 20
"""Status messages within a second; one is sent, but several arrive together after a pause."""

HEARSAY_MAX: Final = 64
"""Addresses of others that are believed from one connection."""

SUBSCRIBER_QUEUE_MAX: Final = 256
VIOLATION_COST: Final = 50
"""For breaking the hello protocol or Yamux itself; the second time is a ban."""


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A peer is there."""

    peer: PeerInfo


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """A peer is gone."""

    peer_id: PeerId
    reason: str


PeerEvent = PeerConnected | PeerDisconnected


class Peering:
    """The sessions with all peers, and what is known of them."""

    def __init__(self, local: LocalHello, table: PeerTable, dialer: Dialer, counters: Counters) -> None:
        self.table: Final = table
        self.sessions: Final[dict[PeerId, Session]] = {}
        self.channels: Final[list[Channel]] = []
        self.handlers: Final[dict[str, StreamHandler]] = {}
        """What answers each protocol's streams."""

        self.finalized_height = 0
        self.listen_port = 0
        self._local = local
        self._dialer = dialer
        self._counters = counters
        self._subscribers: list[trio.MemorySendChannel[PeerEvent]] = []

    def subscribe(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """Peers that come and go from now on."""
        sending, receiving = trio.open_memory_channel[PeerEvent](SUBSCRIBER_QUEUE_MAX)
        self._subscribers.append(sending)
        return receiving

    def connected(self) -> dict[PeerId, bool]:
        """Every connected peer, and whether this node dialed it."""
        return {peer: session.outbound for peer, session in self.sessions.items()}

    def penalize(self, peer: PeerId, reason: str, cost: int) -> None:
        """Lower a peer's score, and tell it goodbye if that is a ban."""
        LOGGER.info("peer %s loses %d points: %s", peer, cost, reason)
        if self.table.adjust(peer, -cost, trio.current_time()):
            self._counters.bans += 1
            self.disconnect(peer, f"{Refusal.BANNED}: {reason}")

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """Tell the peer why, and close the connection."""
        if session := self.sessions.get(peer):
            session.leave(reason[: hello.REASON_LENGTH_MAX])

    async def run(self, session: Session, deadline: float, ready: Callable[[], None]) -> None:
        """One session. Raises Refused, or TooSlowError if the hello takes too long."""
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive, session, nursery.cancel_scope)
            try:
                with trio.fail_at(deadline):
                    stream, lanes = await self._greet(session)
            except (
                Refused,
                trio.TooSlowError,
                StreamClosed,
                ProtocolViolation,
                negotiation.NegotiationFailed,
            ) as error:
                failure = error
                nursery.cancel_scope.cancel()
            else:
                ready()
                try:
                    await self._live(session, stream, lanes, nursery)
                finally:
                    self._release(session, lanes)
        if failure is not None:
            raise failure

    async def _receive(self, session: Session, scope: trio.CancelScope) -> None:
        """Read the connection; its end is the end of the session."""
        try:
            await session.run()
        except MuxerViolation as violation:
            session.reason = f"broke the multiplexer: {violation}"
            self.penalize(session.peer, session.reason, VIOLATION_COST)
        finally:
            scope.cancel()

    async def _greet(self, session: Session) -> tuple[Stream, list[Lanes]]:
        """Exchange hellos and register the peer. Raises Refused, StreamClosed and what reading raises."""
        if session.outbound:
            stream = await session.open_stream(hello.PROTOCOL)
            await send(stream, self._hello())
        else:
            accepted = await session.accept_stream()
            if accepted is None:
                raise StreamClosed("closed before hello")
            stream = accepted
            await negotiation.accept(stream, (hello.PROTOCOL,))
        try:
            lanes = self._register(session, await receive(stream))
        except Refused as refused:
            if not refused.by_peer:
                await session.say_goodbye(stream, refused.reason)
            raise
        except ProtocolViolation as violation:
            self.penalize(session.peer, violation.reason, VIOLATION_COST)
            await session.say_goodbye(stream, Refusal.MALFORMED)
            raise Refused(Refusal.MALFORMED) from None
        if not session.outbound:
            await self._send_or_release(session, stream, lanes)
        return stream, lanes

    async def _send_or_release(self, session: Session, stream: Stream, lanes: list[Lanes]) -> None:
        try:
            await send(stream, self._hello())
        except BaseException:
            self._release(session, lanes)
            raise

    def _hello(self) -> hello.Hello:
        return self._local.at(self.finalized_height, self.listen_port)

    def _register(self, session: Session, message: hello.Message) -> list[Lanes]:
        """Check a peer's hello and add the peer, in the place of its older connection. Raises Refused."""
        if isinstance(message, hello.Goodbye):
            raise Refused(message.reason, by_peer=True)
        if not isinstance(message, hello.Hello):
            raise ProtocolViolation("status before hello")
        verify_hello(message, self._local.genesis, session.peer)
        seen_at = Address(host=session.remote_host, port=message.listen_port, peer_id=session.peer)
        info = PeerInfo(
            peer_id=session.peer,
            address=str(seen_at),
            outbound=session.outbound,
            role=message.role,
            session_key=message.session_key,
            finalized_height=message.finalized_height,
        )
        now = trio.current_time()
        older = self.sessions.get(session.peer)
        if refusal := self.table.refusal(info, now):
            raise Refused(refusal)
        if older is not None:
            if not self._replaces(session, older, now):
                raise Refused(Refusal.DUPLICATE)
            older.close("replaced by a newer connection")
        self.sessions[session.peer] = session
        self.table.add(info)
        if message.listen_port:
            self._dialer.book.add(seen_at)
        self._dialer.book.answered(session.peer, now)
        if older is None:
            LOGGER.info("peer %s connected: %s, %s", session.peer, info.role, info.address)
            self._publish(PeerConnected(info))
        self._changed()
        return [channel.open(info) for channel in self.channels]

    def _replaces(self, newer: Session, older: Session, now: float) -> bool:
        """Both ends keep the same one: the newer by one dialer, or that of the lower peer id."""
        if newer.outbound == older.outbound or now - older.heard_at > STALE_S:
            return True
        dialer = self._local.peer_id if newer.outbound else newer.peer
        return dialer == min(self._local.peer_id, newer.peer)

    def _release(self, session: Session, lanes: list[Lanes]) -> None:
        """Undo `_register`, unless a newer connection has taken over. May be called twice."""
        for channel, pair in zip(self.channels, lanes, strict=True):
            channel.close(pair)
        if self.sessions.get(session.peer) is session:
            del self.sessions[session.peer]
            self.table.remove(session.peer)
            LOGGER.info("peer %s disconnected: %s", session.peer, session.reason)
            self._publish(PeerDisconnected(session.peer, session.reason))
            self._changed()

    async def _live(
        self, session: Session, stream: Stream, lanes: list[Lanes], nursery: trio.Nursery
    ) -> None:
        """Everything that happens on a connection, until it ends."""
        stalled = partial(session.close, Refusal.STALLED)
        for channel, pair in zip(self.channels, lanes, strict=True):
            for lane in pair:
                nursery.start_soon(channel.write, lane, session.open_stream, stalled)
        nursery.start_soon(self._send_status, session, stream)
        nursery.start_soon(self._receive_status, session, stream)
        while (opened := await session.accept_stream()) is not None:
            nursery.start_soon(supervise, opened, self._handle, self.penalize)

    async def _handle(self, stream: Stream) -> None:
        """Agree on a protocol and run its handler. Raises what the handler raises."""
        try:
            with trio.fail_after(NEGOTIATION_S):
                stream.protocol = await negotiation.accept(stream, self.handlers)
        except trio.TooSlowError:
            raise StreamClosed("no protocol chosen") from None
        await self.handlers[stream.protocol](stream)

    async def _send_status(self, session: Session, stream: Stream) -> None:
        """Heartbeats until the session ends; then, if it is ours to end, the reason."""
        sent: tuple[str, ...] = ()
        while not session.leaving.is_set():
            addresses = self._addresses_for(session)
            try:
                await send(
                    stream,
                    Status(
                        finalized_height=self.finalized_height,
                        addresses=() if addresses == sent else addresses,
                    ),
                )
            except StreamClosed:
                return session.close("hello stream closed")
            sent = addresses
            with trio.move_on_after(HEARTBEAT_S):
                await session.leaving.wait()
        reason = session.reason
        await session.say_goodbye(stream, reason)
        return session.close(reason)

    async def _receive_status(self, session: Session, stream: Stream) -> None:
        """Listen to heartbeats; a silent peer is dropped."""
        try:
            session.close(await self._listen_to(session, stream))
        except StreamClosed:
            session.close(session.reason)
        except ProtocolViolation as violation:
            self.penalize(session.peer, violation.reason, VIOLATION_COST)
            session.leave(violation.reason)

    async def _listen_to(self, session: Session, stream: Stream) -> str:
        """Why the peer is to be dropped. Raises ProtocolViolation, StreamClosed."""
        window_ends, messages, hearsay = 0.0, 0, 0
        while True:
            with trio.move_on_after(SILENCE_MAX_S) as silence:
                message = await receive(stream)
            if silence.cancelled_caught:
                return Refusal.SILENT
            now = session.heard_at = trio.current_time()
            if now > window_ends:
                window_ends, messages = now + HEARTBEAT_S, 0
            messages += 1
            if isinstance(message, hello.Goodbye):
                return f"the peer said: {message.reason!r}"
            if not isinstance(message, Status) or messages > MESSAGES_PER_HEARTBEAT_MAX:
                raise ProtocolViolation("hello protocol flooded or started again")
            self.table.set_height(session.peer, message.finalized_height)
            hearsay += len(message.addresses)
            if message.addresses and hearsay <= HEARSAY_MAX:
                self._believe(message.addresses)

    def _believe(self, addresses: tuple[str, ...]) -> None:
        """Note where others are said to be. Raises ProtocolViolation for what is no address."""
        try:
            places = [parse_address(text) for text in addresses]
        except AddressError as error:
            raise ProtocolViolation(str(error)) from None
        for place in places:
            if place.peer_id is not None and place.port:
                self._dialer.book.add(place)
        self._dialer.wake()

    def _addresses_for(self, session: Session) -> tuple[str, ...]:
        """Where the other peers listen; loopback addresses only for those on the same machine."""
        known = []
        for peer in self.table.connected():
            place = parse_address(peer.address)
            useful = _is_loopback(session.remote_host) or not _is_loopback(place.host)
            if peer.peer_id != session.peer and place.port and useful:
                known.append(peer.address)
        return tuple(sorted(known)[: hello.ADDRESSES_MAX])

    def _changed(self) -> None:
        self._counters.peers = len(self.sessions)
        self._dialer.wake()

    def _publish(self, event: PeerEvent) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber.send_nowait(event)
            except (trio.WouldBlock, trio.BrokenResourceError):
                self._counters.events_dropped += 1


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback
