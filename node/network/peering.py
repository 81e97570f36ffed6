"""What happens on a connection after its handshake: hello, registration, heartbeats, streams, and its end."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NoReturn

import trio

from node.network import hello, negotiation
from node.network.budget import Budget
from node.network.channel import Channel, Lanes
from node.network.counters import Counters
from node.network.dial import Dialer, credible
from node.network.hello import LocalHello, Refusal, Refused, SessionSigner, Status, verify_hello
from node.network.identity import (
    OWN_MACHINE,
    Address,
    AddressError,
    PeerId,
    network_of,
    parse_address,
    scope_of,
)
from node.network.muxer import MuxerViolation
from node.network.peers import PeerInfo, PeerTable
from node.network.session import GOODBYE_S, NEGOTIATION_S, Session, receive, send
from node.network.streams import ProtocolViolation, Stream, StreamClosed, StreamHandler, supervise
from node.network.visits import VISITS_MAX, VISITS_WINDOW_S

LOGGER: Final = logging.getLogger(__name__)

HEARTBEAT_S: Final = 1.0
SILENT_HEARTBEATS_MAX: Final = 5
"""A peer that is silent for so many of our heartbeats is stopped or unreachable. Beats are counted, not
seconds: after a pause of this process the peers' signs of life still lie in the sockets."""

NEWS_PAUSE_S: Final = 0.1
"""Least time between two Status messages: addresses of a forming mesh travel together."""

STALE_S: Final = 2.5
"""A connection this silent gives way to a new one of the same peer."""

MESSAGES_PER_HEARTBEAT_MAX: Final = 20
"""Status messages within a second; one is sent, but several arrive together after a pause."""

HEARSAY_MAX: Final = 64
"""New addresses of others that are believed from one network within HEARSAY_S."""

HEARSAY_S: Final = 600.0

SUBSCRIBER_QUEUE_MAX: Final = 256
REFUSED_VISIT: Final = "banned, or too many visits"
REFUSED_BY_PEER: Final = "refused by the peer"
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

        self.visits: Final[dict[str, StreamHandler]] = {}
        """Those that also answer nodes that are no peers."""

        self.visitors: Final[dict[PeerId, str]] = {}
        """Who visits now, and from where."""

        self.finalized_height = 0
        self.listen_port = 0
        self._listening: tuple[Address, ...] = ()
        """Where the connected peers accept connections; replaced, never changed."""

        self._lanes: dict[Session, list[Lanes]] = {}
        """What each session's writers read from, one pair for each channel."""

        self._local = local
        self._session: hello.SessionProof | None = None
        """What proves the session key, since it was changed."""

        self._dialer = dialer
        self._hearsay = Budget(HEARSAY_MAX, HEARSAY_S)
        self._visits_left = Budget(VISITS_MAX, VISITS_WINDOW_S)
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

    def penalize(self, peer: PeerId, reason: str, cost: int, host: str | None = None) -> None:
        """Lower a peer's score, and tell it goodbye if that is a ban.

        `host`: where it is, if it is not connected yet.
        """
        LOGGER.info("peer %s loses %d points: %s", peer, cost, reason)
        session = self.sessions.get(peer)
        host = session.remote_host if session else host
        network = None if host is None else network_of(host)
        if self.table.adjust(peer, -cost, trio.current_time(), network):
            self._counters.bans += 1
            self.disconnect(peer, f"{Refusal.BANNED}: {reason}")

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """Tell the peer why, and close the connection."""
        if session := self.sessions.get(peer):
            session.leave(reason)

    async def run(self, session: Session, deadline: float, ready: Callable[[], None]) -> None:
        """One session to its end; `session.reason` then says why. `ready` is called after the hello."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive, session, nursery.cancel_scope)
            try:
                with trio.fail_at(deadline):
                    stream = await self._greet(session)
                ready()
                await self._live(session, stream, nursery)
            except trio.TooSlowError:
                self._count_refusal(session, Refused(Refusal.SILENT))
                session.close(Refusal.SILENT)
            except (Refused, StreamClosed, negotiation.NegotiationFailed):
                session.close(session.reason)
            finally:
                self._release(session)

    async def _receive(self, session: Session, scope: trio.CancelScope) -> None:
        """Read the connection; its end is the end of the session."""
        try:
            await session.run()
        except MuxerViolation as violation:
            session.reason = f"broke the multiplexer: {violation}"
            self.penalize(session.peer, session.reason, VIOLATION_COST, session.remote_host)
        finally:
            scope.cancel()

    async def _greet(self, session: Session) -> Stream:
        """Exchange hellos and register the peer. Raises Refused, StreamClosed, NegotiationFailed."""
        if session.outbound:
            stream = await session.open_stream(hello.PROTOCOL)
            await send(stream, self._hello())
        else:
            stream = await session.accept_stream()
            stream.protocol = await negotiation.accept(stream, (hello.PROTOCOL, *self.visits))
            if stream.protocol != hello.PROTOCOL:
                await self._receive_visit(session, stream)
        try:
            self._register(session, await receive(stream))
        except ProtocolViolation as violation:
            self.penalize(session.peer, violation.reason, VIOLATION_COST, session.remote_host)
            await self._refuse(session, stream, Refused(Refusal.MALFORMED))
        except Refused as refused:
            await self._refuse(session, stream, refused)
        if not session.outbound:
            await send(stream, self._hello())
        return stream

    async def _receive_visit(self, session: Session, stream: Stream) -> NoReturn:
        """Answer one question of a node that is no peer. Raises StreamClosed, Refused."""
        network, now = network_of(session.remote_host), trio.current_time()
        if self.table.scores.is_banned(session.peer, now) or not self._visits_left.allows(network, now):
            self._counters.refused[REFUSED_VISIT] += 1
            raise Refused(REFUSED_VISIT)
        if network not in OWN_MACHINE:
            self._visits_left.spend(network, now)
        self._counters.visits += 1
        self.visitors[session.peer] = session.remote_host
        try:
            charge = partial(self.penalize, host=session.remote_host)
            await supervise(stream, self.visits[stream.protocol], charge)
        finally:
            self.visitors.pop(session.peer, None)
        await session.ended(GOODBYE_S)
        raise StreamClosed("the visit is over")

    async def _refuse(self, session: Session, stream: Stream, refused: Refused) -> NoReturn:
        self._count_refusal(session, refused)
        if not refused.by_peer:
            await session.say_goodbye(stream, refused.reason)
        raise refused

    def _count_refusal(self, session: Session, refused: Refused) -> None:
        """Note it before the peer can close the connection, which would end this task."""
        session.reason = refused.reason
        self._counters.refused[REFUSED_BY_PEER if refused.by_peer else refused.reason] += 1
        LOGGER.info("connection with %s refused: %r", session.peer, refused.reason)

    def set_signer(self, signer: SessionSigner) -> None:
        """Prove another session key from now on, to those who are connected too."""
        self._local = replace(self._local, signer=signer)
        self._session = hello.prove_session(signer, self._local.genesis, self._local.peer_id)
        for session in self.sessions.values():
            session.nudge()

    def _note_session(self, session: Session, proof: hello.SessionProof | None) -> None:
        """Take over a peer's new session key. Raises ProtocolViolation."""
        if proof is None:
            return
        if not hello.verify_session(proof, self._local.genesis, session.peer):
            raise ProtocolViolation(Refusal.BAD_SESSION_PROOF)
        self.table.set_session_key(session.peer, proof.key)

    def _hello(self) -> hello.Hello:
        return self._local.at(self.finalized_height, self.listen_port)

    def _register(self, session: Session, message: hello.Message) -> None:
        """Check a peer's hello and add the peer, in the place of its older connection.

        Raises Refused, ProtocolViolation.
        """
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
        self._lanes[session] = [channel.open(info) for channel in self.channels]
        self._changed()

    def _replaces(self, newer: Session, older: Session, now: float) -> bool:
        """Both ends keep the same one: the newer by one dialer, or that of the lower peer id."""
        if newer.outbound == older.outbound or now - older.heard_at > STALE_S:
            return True
        dialer = self._local.peer_id if newer.outbound else newer.peer
        return dialer == min(self._local.peer_id, newer.peer)

    def _release(self, session: Session) -> None:
        """Undo `_register`, unless a newer connection has taken over."""
        for channel, lanes in zip(self.channels, self._lanes.pop(session, ()), strict=False):
            channel.close(lanes)
        if self.sessions.get(session.peer) is session:
            del self.sessions[session.peer]
            self.table.remove(session.peer)
            self._dialer.book.left(session.peer, trio.current_time())
            LOGGER.info("peer %s disconnected: %s", session.peer, session.reason)
            self._publish(PeerDisconnected(session.peer, session.reason))
            self._changed()

    async def _live(self, session: Session, stream: Stream, nursery: trio.Nursery) -> None:
        """Everything that happens on a connection. Raises StreamClosed when it has ended."""
        stalled = partial(session.close, Refusal.STALLED)
        for channel, lanes in zip(self.channels, self._lanes[session], strict=True):
            for lane in lanes:
                nursery.start_soon(channel.write, lane, session.open_stream, stalled)
        nursery.start_soon(self._send_status, session, stream)
        nursery.start_soon(self._receive_status, session, stream)
        nursery.start_soon(_watch, session)
        while True:
            nursery.start_soon(supervise, await session.accept_stream(), self._handle, self.penalize)

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
        told: tuple[Address, ...] = ()
        proved: hello.SessionProof | None = None
        while not session.leaving:
            news = () if told is self._listening else _addresses_for(session, self._listening)
            key = None if proved is self._session else self._session
            told, proved = self._listening, self._session
            try:
                await send(stream, Status(self.finalized_height, news, key))
            except StreamClosed:
                return session.close("hello stream closed")
            await trio.sleep(NEWS_PAUSE_S)
            await session.pause(HEARTBEAT_S - NEWS_PAUSE_S)
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
        window_ends, messages = 0.0, 0
        while True:
            message = await receive(stream)
            now = session.heard_at = trio.current_time()
            if now > window_ends:
                window_ends, messages = now + HEARTBEAT_S, 0
            messages += 1
            if isinstance(message, hello.Goodbye):
                return f"the peer said: {message.reason!r}"
            if not isinstance(message, Status) or messages > MESSAGES_PER_HEARTBEAT_MAX:
                raise ProtocolViolation("hello protocol flooded or started again")
            self.table.set_height(session.peer, message.finalized_height)
            self._note_session(session, message.session)
            self._believe(session, message.addresses)

    def _believe(self, session: Session, addresses: tuple[str, ...]) -> None:
        """Note where others are said to be. Raises ProtocolViolation for what no honest node says."""
        try:
            places = credible(addresses, session.remote_host)
        except AddressError as error:
            raise ProtocolViolation(str(error)) from None
        network, now = network_of(session.remote_host), trio.current_time()
        new = 0
        for place in places:
            if self._hearsay.allows(network, now) and self._dialer.book.add(place, heard_at=now):
                self._hearsay.spend(network, now)
                new += 1
        if new:
            self._dialer.wake()

    def _changed(self) -> None:
        self._counters.peers = len(self.sessions)
        places = (parse_address(peer.address) for peer in self.table.connected())
        self._listening = tuple(place for place in places if place.port)
        for session in self.sessions.values():
            session.nudge()
        self._dialer.wake()

    def _publish(self, event: PeerEvent) -> None:
        for subscriber in list(self._subscribers):
            try:
                subscriber.send_nowait(event)
            except trio.WouldBlock:
                self._counters.events_dropped += 1
            except trio.BrokenResourceError:
                self._subscribers.remove(subscriber)


async def _watch(session: Session) -> None:
    """Close the session when the peer has been silent for too many heartbeats."""
    heard_at, silent = session.heard_at, 0
    while silent < SILENT_HEARTBEATS_MAX:
        await trio.sleep(HEARTBEAT_S)
        silent = silent + 1 if session.heard_at == heard_at else 0
        heard_at = session.heard_at
    session.close(Refusal.SILENT)


def _addresses_for(session: Session, listening: tuple[Address, ...]) -> tuple[str, ...]:
    """Where the other peers listen, as far as the peer can reach them."""
    scope = scope_of(session.remote_host)
    others = [
        str(place) for place in listening if place.peer_id != session.peer and scope_of(place.host) >= scope
    ]
    return tuple(random.sample(others, min(len(others), hello.ADDRESSES_MAX)))
