"""The table of peers: who is connected, what each is worth, who is banned. Pure: time is an argument."""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from node.network.hello import Refusal, Role
from node.network.identity import PeerId

SCORE_MAX: Final = 100
"""No reward buys more goodwill than one ban costs."""

BAN_SCORE: Final = -100
"""A peer that falls to this is banned."""

BAN_S: Final = 600.0
RECOVERY_PER_S: Final = 0.1
"""How fast a negative score heals: small faults of a day do not add up to a ban."""

RECORDS_MAX: Final = 1024
"""Scores and bans that are remembered of peers no longer connected; the oldest go first."""


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

    sockets_per_network_max: int = 64
    """Inbound sockets from one IPv4 address or IPv6 /64; a local network runs on one address."""

    silent_per_network_max: int = 16
    """Of these, how many may still be in their handshake."""


@dataclass(slots=True)
class _Record:
    score: int = 0
    at: float = 0.0
    banned_until: float = 0.0


class SocketGate:
    """Counts inbound sockets by the network that they come from, before anything is read from them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: Counter[str] = Counter()
        self._silent: Counter[str] = Counter()

    def enter(self, network: str) -> bool:
        """Whether one more socket from `network` may start a handshake."""
        if self._open[network] >= self._limits.sockets_per_network_max:
            return False
        if self._silent[network] >= self._limits.silent_per_network_max:
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

    _peers: dict[PeerId, PeerInfo] = field(default_factory=dict)
    _records: OrderedDict[PeerId, _Record] = field(default_factory=OrderedDict)

    def refusal(self, peer: PeerInfo, now: float) -> Refusal | None:
        """Why `peer` cannot be added, if there is a reason."""
        if self.is_banned(peer.peer_id, now):
            return Refusal.BANNED
        if peer.outbound or self.is_authority(peer) or peer.peer_id in self._peers:
            return None
        strangers = sum(not each.outbound and not self.is_authority(each) for each in self._peers.values())
        return Refusal.FULL if strangers >= self.limits.inbound_max else None

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
        """Whether the peer proved a session key of the current committee."""
        return peer.session_key in self.authorities

    def peer_of(self, session_key: bytes) -> PeerId | None:
        """The connected peer that proved `session_key`; the latest, should there be two."""
        found = None
        for peer in self._peers.values():
            if peer.session_key == session_key:
                found = peer.peer_id
        return found

    def score(self, peer_id: PeerId, now: float) -> int:
        """From BAN_SCORE to SCORE_MAX; 0 for a stranger."""
        record = self._records.get(peer_id)
        return _healed(record, now) if record else 0

    def adjust(self, peer_id: PeerId, change: int, now: float) -> bool:
        """Raise or lower a score; True if the peer is banned by it."""
        record = self._records.setdefault(peer_id, _Record(at=now))
        self._records.move_to_end(peer_id)
        record.score = max(BAN_SCORE, min(SCORE_MAX, _healed(record, now) + change))
        record.at = now
        banned = record.score <= BAN_SCORE
        if banned:
            record.score, record.banned_until = 0, now + BAN_S
        if len(self._records) > RECORDS_MAX:
            self._records.popitem(last=False)
        return banned

    def is_banned(self, peer_id: PeerId, now: float) -> bool:
        """Whether the peer is to be turned away now."""
        record = self._records.get(peer_id)
        return record is not None and now < record.banned_until

    def banned(self, now: float) -> tuple[PeerId, ...]:
        """Everyone who is banned now, ordered by peer id."""
        return tuple(sorted(peer for peer in self._records if self.is_banned(peer, now)))


def _healed(record: _Record, now: float) -> int:
    if record.score >= 0:
        return record.score
    return min(0, record.score + int((now - record.at) * RECOVERY_PER_S))
