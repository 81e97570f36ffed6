"""The network service: listens and dials, and is what the rest of the node knows of the network.

One task owns each connection from its socket to its end, so that nothing of it outlives it.
"""

import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from node.network.channel import Channel, ChannelLimits
from node.network.counters import Counters
from node.network.dial import AddressBook, Dialer, jitter
from node.network.faults import Faults
from node.network.hello import LocalHello, Refusal, Role, SessionSigner
from node.network.identity import Address, PeerId, network_of, peer_id_of
from node.network.peering import PeerEvent, Peering
from node.network.peers import Limits, PeerInfo, PeerTable, SocketGate
from node.network.peerstore import Peerstore
from node.network.requests import (
    RequestFailed,
    RequestFailure,
    RequestHandler,
    Service,
    ServiceLimits,
    request,
)
from node.network.scores import Standing
from node.network.session import Session
from node.network.transport import Socket, Upgrader, peer_id_of_connection
from node.network.visits import question, visit
from primitives.types import Bytes32, Seed

LOGGER: Final = logging.getLogger(__name__)

HANDSHAKE_S: Final = 5.0
"""From the first byte to the end of the hello; a silent socket is closed after it."""

HANDSHAKE_FAILED: Final = "handshake failed"
SESSION_FAILED: Final = "session failed"
TOO_MANY_SOCKETS: Final = "too many sockets"
BANNED_NETWORK: Final = "banned network"

_FINAL_REFUSALS: Final = frozenset(
    {Refusal.WRONG_GENESIS, Refusal.WRONG_VERSION, Refusal.BAD_SESSION_PROOF, Refusal.BANNED, Refusal.FULL}
)
"""Reasons that do not go away within seconds."""


class ListenFailed(Exception):
    """The address cannot be listened on; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """What one node's network is made of."""

    listen: Address | None
    """Where to accept connections; None to only dial."""

    seed: Seed
    """The node key, 32 bytes."""

    genesis: Bytes32
    """Hash of the genesis block; nodes of another chain are refused."""

    role: Role
    bootnodes: tuple[Address, ...] = ()
    """Where to start; each names its peer id."""

    signer: SessionSigner | None = None
    """Signs for the session key; an authority must have one."""

    limits: Limits = field(default_factory=Limits)
    faults: Faults | None = None
    """What is wrong on purpose; in test networks only."""
    peerstore: Path | None = None
    """The file that remembers peers, scores and bans from one start to the next; None: nothing does."""


class Network:
    """All connections of one node. Channels and services are declared before `run`."""

    def __init__(self, config: NetworkConfig) -> None:
        assert config.role != Role.AUTHORITY or config.signer is not None
        self.peer_id: Final = peer_id_of(config.seed)
        self.counters: Final = Counters()
        self.listening: Address | None = None
        """Where this node accepts connections, once `run` has started."""

        self._config = config
        self._upgrader = Upgrader(config.seed, self.counters)
        self._gate = SocketGate(config.limits)
        self._dialer = Dialer(AddressBook(self.peer_id), config.limits.outbound_max)
        local = LocalHello(
            peer_id=self.peer_id, genesis=config.genesis, role=config.role, signer=config.signer
        )
        table = PeerTable(config.limits)
        self._peering = Peering(local, table, self._dialer, self.counters)
        self._peerstore = None
        if config.peerstore is not None:
            self._peerstore = Peerstore(config.peerstore, self._dialer.book, table)
        for address in config.bootnodes:
            self._dialer.book.add(address, bootnode=True)

    def channel(self, protocol: str, limits: ChannelLimits) -> Channel:
        """Declare a notification protocol."""
        assert protocol not in self._peering.handlers
        channel = Channel(protocol, limits, self.counters)
        self._peering.channels.append(channel)
        self._peering.handlers[protocol] = channel.receive
        return channel

    def serve(self, protocol: str, handler: RequestHandler, limits: ServiceLimits) -> None:
        """Declare that this node answers the questions of a protocol."""
        assert protocol not in self._peering.handlers
        self._peering.handlers[protocol] = Service(handler, limits).answer

    def serve_visitors(self, protocol: str, handler: RequestHandler, limits: ServiceLimits) -> None:
        """Declare that this node answers the questions of a protocol to everybody, peer or not."""
        self.serve(protocol, handler, limits)
        self._peering.visits[protocol] = self._peering.handlers[protocol]

    def subscribe(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """Peers that come and go from now on; what a slow subscriber does not take is counted and lost."""
        return self._peering.subscribe()

    def peers(self) -> tuple[PeerInfo, ...]:
        """Everyone connected now, ordered by peer id."""
        return self._peering.table.snapshot(trio.current_time())

    def peer(self, peer: PeerId) -> PeerInfo | None:
        """A connected peer."""
        return self._peering.table.get(peer, trio.current_time())

    def peer_of(self, session_key: bytes) -> PeerId | None:
        """The connected peer that proved `session_key`."""
        return self._peering.table.peer_of(session_key)

    def banned(self) -> tuple[PeerId, ...]:
        """Every peer that is banned now."""
        return self._peering.table.banned(trio.current_time())

    def bans(self) -> tuple[Standing[str], ...]:
        """The peers and then the networks that are banned now, with the seconds that are left."""
        now, table = trio.current_time(), self._peering.table
        everyone: list[Standing[str]] = [Standing(*peer) for peer in table.scores.standings(now)]
        everyone += table.networks.standings(now)
        return tuple(one for one in everyone if one.ban_left_s)

    def is_authority(self, peer: PeerInfo) -> bool:
        """Whether the peer proved a session key of the current committee."""
        return self._peering.table.is_authority(peer)

    def set_authorities(self, session_keys: frozenset[bytes]) -> None:
        """Name the current committee, whose members always find a free slot."""
        self._peering.table.authorities = session_keys

    def set_signer(self, signer: SessionSigner) -> None:
        """Vouch for this node with another session key from now on."""
        self._peering.set_signer(signer)

    def set_status(self, finalized_height: int) -> None:
        """What the next heartbeats say of this node."""
        self._peering.finalized_height = finalized_height

    def host_of(self, peer: PeerId) -> str | None:
        """The IP address of a peer, or of a visitor that is here now."""
        session = self._peering.sessions.get(peer)
        return session.remote_host if session else self._peering.visitors.get(peer)

    def penalize(self, peer: PeerId, reason: str, cost: int) -> None:
        """Lower a peer's score; at -100 it is told, disconnected and banned for ten minutes."""
        assert cost >= 0
        self._peering.penalize(peer, reason, cost)

    def reward(self, peer: PeerId, gain: int) -> None:
        """Raise a peer's score, up to 100, for an answer that was useful."""
        assert gain >= 0
        self._peering.table.adjust(peer, gain, trio.current_time())

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """Tell the peer why, and close the connection."""
        self._peering.disconnect(peer, reason)

    def dial(self, address: Address) -> None:
        """Remember an address, which names its peer id, and connect to it soon."""
        self._dialer.book.add(address)
        self._dialer.wake()

    def hint(self, address: Address) -> bool:
        """Somebody says that a peer is there: worth a try, as what peers say of others is. True if new."""
        new = self._dialer.book.add(address, heard_at=trio.current_time())
        if new:
            self._dialer.wake()
        return new

    def reserve(self, peers: frozenset[PeerId]) -> None:
        """Name the nodes of the committee, which are dialed first and beyond the limit of our own dials."""
        self._dialer.book.reserved = peers

    async def request(
        self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float, response_bytes_max: int
    ) -> bytes:
        """Ask a peer; its answer. Raises RequestFailed."""
        session = self._peering.sessions.get(peer)
        if session is None:
            raise RequestFailed(RequestFailure.NOT_CONNECTED)
        opening = partial(session.open_stream, protocol)
        return await request(opening, payload, timeout_s, response_bytes_max)

    async def visit(
        self, address: Address, protocol: str, payload: bytes, *, timeout_s: float, response_bytes_max: int
    ) -> bytes:
        """Ask a node that is no peer, at an address that names it; its answer. Raises RequestFailed."""
        peer = address.peer_id
        assert peer is not None
        socket = None
        try:
            with trio.fail_after(timeout_s):
                socket = await self._reach(address, peer)
                asking = question(protocol, payload, timeout_s, response_bytes_max)
                return await visit(socket, lambda raw: self._upgrader.outbound(raw, peer), peer, asking)
        except (OSError, ValueError):
            raise RequestFailed(RequestFailure.NOT_CONNECTED) from None
        except trio.TooSlowError:
            raise RequestFailed(RequestFailure.TIMED_OUT) from None
        finally:
            if socket is not None:
                socket.close_now()

    async def _reach(self, address: Address, peer: PeerId) -> Socket:
        """Connect a socket. Raises OSError, ValueError."""
        faults = self._config.faults
        if faults is not None:
            await faults.until_reachable(peer)
        stream = await trio.open_tcp_stream(address.host, address.port)
        return Socket(stream, self.counters, faults, peer)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once the port is bound. Raises ListenFailed."""
        if self._peerstore is not None:
            await self._peerstore.load()
        listeners = await self._listen()
        async with trio.open_nursery() as nursery:
            if self._config.faults is not None:
                await nursery.start(self._config.faults.run)
            if listeners:
                nursery.start_soon(trio.serve_listeners, self._accept, listeners)
            if self._peerstore is not None:
                nursery.start_soon(self._peerstore.run)
            nursery.start_soon(self._dialer.run, self._dial, self._peering.connected)
            task_status.started()

    async def _listen(self) -> list[trio.SocketListener]:
        where = self._config.listen
        if where is None:
            return []
        try:
            listeners = await trio.open_tcp_listeners(where.port, host=where.host)
        except OSError as error:
            busy = (
                error.errno == errno.EADDRINUSE or getattr(error.__cause__, "errno", None) == errno.EADDRINUSE
            )
            problem = (
                "another process listens there; stop it, or pass another --listen" if busy else str(error)
            )
            raise ListenFailed(f"cannot listen on {where}: {problem}") from error
        port = listeners[0].socket.getsockname()[1]
        self.listening = Address(host=where.host, port=port, peer_id=self.peer_id)
        self._peering.listen_port = port
        return listeners

    async def _accept(self, stream: trio.SocketStream) -> None:
        """Own one inbound socket."""
        try:
            socket = Socket(stream, self.counters, self._config.faults)
        except OSError:
            return
        network = network_of(socket.remote_host)
        if self._peering.table.networks.is_banned(network, trio.current_time()):
            self.counters.refused[BANNED_NETWORK] += 1
            socket.close_now()
            return
        if not self._gate.enter(network):
            self.counters.refused[TOO_MANY_SOCKETS] += 1
            socket.close_now()
            return
        self.counters.inbound_sockets += 1
        handshaken = False

        def ready() -> None:
            nonlocal handshaken
            handshaken = True
            self._gate.authenticated(network)

        try:
            await self._connect(socket, None, ready)
        finally:
            self.counters.inbound_sockets -= 1
            if not handshaken:
                self._gate.authenticated(network)
            self._gate.leave(network)

    async def _dial(self, address: Address) -> None:
        """Own one outbound connection."""
        peer = address.peer_id
        assert peer is not None
        connected = False

        def ready() -> None:
            nonlocal connected
            connected = True
            self._dialer.settled(peer)

        reason = "unreachable"
        try:
            with trio.fail_after(HANDSHAKE_S):
                socket = await self._reach(address, peer)
            reason = await self._connect(socket, peer, ready)
        except (OSError, ValueError, trio.TooSlowError) as error:
            LOGGER.debug("cannot reach %s: %s", address, error)
        finally:
            if not connected:
                if reason != Refusal.DUPLICATE:
                    hopeless = reason in _FINAL_REFUSALS
                    self._dialer.book.failed(peer, trio.current_time(), jitter(), hopeless=hopeless)
                self._dialer.settled(peer)

    async def _connect(self, socket: Socket, expected: PeerId | None, ready: Callable[[], None]) -> str:
        """Handshake and session of one socket; the reason of its end. Nothing a peer does gets past here."""
        deadline = trio.current_time() + HANDSHAKE_S
        session = None
        try:
            with trio.fail_at(deadline):
                if expected is None:
                    muxer = await self._upgrader.inbound(socket)
                else:
                    muxer = await self._upgrader.outbound(socket, expected)
            socket.peer = peer_id_of_connection(muxer)
            session = Session(muxer, socket.peer, socket, outbound=expected is not None)
            await self._peering.run(session, deadline, ready)
            return session.reason
        except trio.TooSlowError:
            self.counters.refused[Refusal.SILENT] += 1
            return Refusal.SILENT
        except Exception as error:
            if session is not None:
                LOGGER.exception("session with %s failed", session.peer)
                return SESSION_FAILED
            self.counters.refused[HANDSHAKE_FAILED] += 1
            LOGGER.debug("handshake with %s failed: %r", expected or socket.remote_host, error)
            return HANDSHAKE_FAILED
        finally:
            socket.close_now()
