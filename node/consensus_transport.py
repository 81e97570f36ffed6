"""Consensus messages between the members of the committee, and a record of the votes in them."""

from collections.abc import Iterable
from typing import Final

from node.consensus.interface import Peer
from node.consensus.messages import MESSAGE_BYTES_MAX, Bundle, Cast, Message, Propose, read_message
from node.network.channel import ChannelLimits
from node.network.host import Network
from primitives.codec import CodecError
from primitives.vote import Vote

PROTOCOL: Final = "/consilience/consensus/1"

STRANGER_COST: Final = 20
"""For sending consensus messages without a proved session key."""

VOTES_REMEMBERED: Final = 32 * 1024
"""Distinct votes that are kept for whoever looks for contradictions: half an hour of a small network."""

CHANNEL_LIMITS: Final = ChannelLimits(
    frame_bytes_max=MESSAGE_BYTES_MAX,
    queue_frames_max=256,
    queue_bytes_max=4 * MESSAGE_BYTES_MAX,
    inbox_frames_max=512,
    inbox_bytes_max=16 * MESSAGE_BYTES_MAX,
)


class VoteRecord:
    """The distinct votes that this node sent or received, the oldest first; the last VOTES_REMEMBERED."""

    def __init__(self) -> None:
        self._votes: dict[Vote, None] = {}
        self._forgotten = 0

    def note(self, message: Message) -> None:
        """Remember the votes in a message, those of certificates too."""
        for vote in _votes_in(message):
            self._votes.setdefault(vote, None)
        while len(self._votes) > VOTES_REMEMBERED:
            del self._votes[next(iter(self._votes))]
            self._forgotten += 1

    def page(self, start: int, count: int) -> tuple[int, list[Vote]]:
        """Up to `count` votes from number `start` on, and the number of the vote after them."""
        skipped = max(0, start - self._forgotten)
        votes = list(self._votes)[skipped : skipped + count]
        return self._forgotten + skipped + len(votes), votes


class ConsensusTransport:
    """Implements node.consensus.engine.Transport: peers are named by their proved session keys."""

    def __init__(self, network: Network, votes: VoteRecord) -> None:
        """Declares the consensus protocol."""
        self._network = network
        self._votes = votes
        self._channel = network.channel(PROTOCOL, CHANNEL_LIMITS)

    async def receive(self) -> tuple[Peer, bytes]:
        """The next frame from a member of the committee; anybody can make a key and prove it."""
        while True:
            peer, frame = await self._channel.inbox.receive()
            info = self._network.peer(peer)
            if info is None:
                continue
            if info.session_key is None:
                self._network.penalize(peer, "consensus message without a session key", STRANGER_COST)
            elif self._network.is_authority(info):
                self._note(frame)
                return Peer(info.session_key), frame

    def send(self, peer: Peer, frame: bytes, *, urgent: bool) -> None:
        """Send to the member with this session key, if it is connected."""
        peer_id = self._network.peer_of(peer)
        if peer_id is not None:
            self._note(frame)
            self._channel.send(peer_id, frame, urgent=urgent)

    def broadcast(self, frame: bytes, *, urgent: bool) -> None:
        """Send to every member of the committee."""
        self._note(frame)
        self._channel.broadcast(frame, where=self._network.is_authority, urgent=urgent)

    def _note(self, frame: bytes) -> None:
        try:
            self._votes.note(read_message(frame))
        except CodecError:
            return  # the engine says so to the peer


def _votes_in(message: Message) -> Iterable[Vote]:
    match message:
        case Cast(vote=vote):
            return (vote,)
        case Propose(vote=vote, certs=certificates):
            return (vote, *(each for certificate in certificates for each in certificate.votes()))
        case Bundle(certs=certificates):
            return [each for certificate in certificates for each in certificate.votes()]
        case _:
            return ()
