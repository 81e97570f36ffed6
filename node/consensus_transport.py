"""Consensus messages between the members of the committee."""

from collections.abc import Hashable
from typing import Final

from node.consensus.interface import Peer
from node.consensus.messages import MESSAGE_BYTES_MAX
from node.network.channel import ChannelLimits
from node.network.host import Network

PROTOCOL: Final = "/consilience/consensus/1"

STRANGER_COST: Final = 20
"""For sending consensus messages without a proved session key."""

CHANNEL_LIMITS: Final = ChannelLimits(
    frame_bytes_max=MESSAGE_BYTES_MAX,
    queue_frames_max=256,
    queue_bytes_max=4 * MESSAGE_BYTES_MAX,
    inbox_frames_max=512,
    inbox_bytes_max=16 * MESSAGE_BYTES_MAX,
)


class ConsensusTransport:
    """Implements node.consensus.engine.Transport: peers are named by their proved session keys."""

    def __init__(self, network: Network) -> None:
        """Declares the consensus protocol."""
        self._network = network
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
                return Peer(info.session_key), frame

    def send(self, peer: Peer, frame: bytes, *, urgent: bool, replaces: Hashable | None) -> None:
        """Send to the member with this session key, if it is connected."""
        peer_id = self._network.peer_of(peer)
        if peer_id is not None:
            self._channel.send(peer_id, frame, urgent=urgent, replaces=replaces)

    def broadcast(self, frame: bytes, *, urgent: bool, replaces: Hashable | None) -> None:
        """Send to every member of the committee."""
        self._channel.broadcast(frame, where=self._network.is_authority, urgent=urgent, replaces=replaces)
