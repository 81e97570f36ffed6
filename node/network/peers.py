"""The table of peers: who is connected, what each is worth, who is banned. Pure: time is an argument."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from node.network.hello import Refusal, Role
from node.network.identity import OWN_MACHINE, PeerId
from node.network.scores import Ledger

PEER_HEALING_PER_S: Final = 0.1
"""How fast a peer's score heals: small faults of a day do not add up to a ban."""

NETWORK_HEALING_PER_S: Final = 0.05
"""How fast a network's score heals: a banned key costs it what heals in thirteen minutes."""

BANNED_KEY_COST: Final = 40
"""What a network pays for each of its peers that is banned: with the third key the network is banned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerInfo:
    """One connected peer, as of now."""

    peer_id: PeerId
    address: str
    """Multiaddress at which it accepts connections, or from which it came if it accepts none."""

    outbound: bool
    """Whether this node dialed it."""

    role: Role
    """What it says it is; only `session_key` is proven."""

    session_key: bytes | None
    """The session key whose holder vouched for this peer (32 bytes)."""

    finalized_height: int
    score: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections a node keeps. Members of the committee are never counted or turned away."""

    inbound_max: int = 64
    """Connections of strangers that dialed us."""

    outbound_max: int = 128
    """Connections that this node dials itself."""

    sockets_max: int = 512
    """Inbound sockets in all: what any number of strangers can take of this process's file descriptors."""

    silent_max: int = 128
    """Of these, how many may still be in their handshake."""

    sockets_per_network_max: int = 16
    """Inbound sockets from one IPv4 address or IPv6 /64: a quarter of the slots of strangers.

    This machine's own address is only bounded in all: a local network runs on it.
    """

    silent_per_network_max: int = 8
    """Of these, how many may still be in their handshake."""


class SocketGate:
    """Counts inbound sockets by the network that they come from, before anything is read from them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: Counter[str] = Counter()
        self._silent: Counter[str] = Counter()

    def enter(self, network: str) -> bool:
        """Whether one more socket from `network` may start a handshake."""
        limits = self._limits
        if self._open.total() >= limits.sockets_max or self._silent.total() >= limits.silent_max:
            return False
        if network not in OWN_MACHINE and (
            self._open[network] >= limits.sockets_per_network_max
            or self._silent[network] >= limits.silent_per_network_max
        ):
            return False
        self._open[network] += 1
        self._silent[network] += 1
        return True

    def authenticated(self, network: str) -> None:
        """One socket has finished its handshake."""
        _decrement(self._silent, network)

    def leave(self, network: str) -> None:
        """One socket has closed."""
        _decrement(self._open, network)


def _decrement(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]


@dataclass(slots=True)
class PeerTable:
    """Every connected peer, and what is remembered of others."""

    limits: Limits
    authorities: frozenset[bytes] = frozenset()
    """Session keys of the current committee; whoever proves one has a reserved slot."""

    scores: Ledger[PeerId] = field(default_factory=lambda: Ledger(PEER_HEALING_PER_S))
    networks: Ledger[str] = field(default_factory=lambda: Ledger(NETWORK_HEALING_PER_S))
    """What the owners of IPv4 addresses and IPv6 /64 networks are worth, whatever keys they use."""

    _peers: dict[PeerId, PeerInfo] = field(default_factory=dict)

    def refusal(self, peer: PeerInfo, now: float) -> Refusal | None:
        """Why `peer` cannot be added, if there is a reason."""
        if self.scores.is_banned(peer.peer_id, now):
            return Refusal.BANNED
        if peer.outbound or self._has_reserved_slot(peer) or peer.peer_id in self._peers:
            return None
        strangers = sum(
            not each.outbound and not self._has_reserved_slot(each) for each in self._peers.values()
        )
        return Refusal.FULL if strangers >= self.limits.inbound_max else None

    def _has_reserved_slot(self, peer: PeerInfo) -> bool:
        """Whether it is the one peer for which a key of the committee vouches: one key, one slot."""
        if peer.session_key is None or not self.is_authority(peer):
            return False
        return self.peer_of(peer.session_key) in (None, peer.peer_id)

    def add(self, peer: PeerInfo) -> None:
        """Add `peer`, or put it in the place of its older connection."""
        self._peers[peer.peer_id] = peer

    def remove(self, peer_id: PeerId) -> None:
        """Forget the connection, not the score."""
        self._peers.pop(peer_id, None)

    def set_height(self, peer_id: PeerId, finalized_height: int) -> None:
        """Note how far a peer, if it is still connected, says it has come."""
        if peer := self._peers.get(peer_id):
            self._peers[peer_id] = replace(peer, finalized_height=finalized_height)

    def set_session_key(self, peer_id: PeerId, session_key: bytes) -> None:
        """Note that a peer, if it is still connected, has proved another session key."""
        if peer := self._peers.get(peer_id):
            self._peers[peer_id] = replace(peer, session_key=session_key)

    def get(self, peer_id: PeerId, now: float) -> PeerInfo | None:
        """The connected peer, with its score."""
        peer = self._peers.get(peer_id)
        return peer and replace(peer, score=self.score(peer_id, now))

    def snapshot(self, now: float) -> tuple[PeerInfo, ...]:
        """All connected peers, ordered by peer id."""
        peers = sorted(self._peers.values(), key=lambda peer: peer.peer_id)
        return tuple(replace(peer, score=self.score(peer.peer_id, now)) for peer in peers)

    def connected(self) -> Iterable[PeerInfo]:
        """All connected peers, without their scores."""
        return self._peers.values()

    def is_authority(self, peer: PeerInfo) -> bool:
        """Whether the peer's newest session key is of the committee; `peer` may be an older record."""
        newest = self._peers.get(peer.peer_id, peer)
        return newest.session_key in self.authorities

    def peer_of(self, session_key: bytes) -> PeerId | None:
        """The connected peer that proved `session_key`; the latest, should there be two."""
        found = None
        for peer in self._peers.values():
            if peer.session_key == session_key:
                found = peer.peer_id
        return found

    def score(self, peer_id: PeerId, now: float) -> int:
        """From -100, which is a ban, to 100; 0 for a stranger."""
        return self.scores.score(peer_id, now)

    def adjust(self, peer_id: PeerId, change: int, now: float, network: str | None = None) -> bool:
        """Raise or lower a score; True if the peer is banned by it, for which its network pays too."""
        banned = self.scores.adjust(peer_id, change, now)
        if banned and network is not None and network not in OWN_MACHINE:
            self.networks.adjust(network, -BANNED_KEY_COST, now)
        return banned

    def banned(self, now: float) -> tuple[PeerId, ...]:
        """Every peer that is banned now, ordered by peer id."""
        return tuple(peer.key for peer in self.scores.standings(now) if peer.ban_left_s)
