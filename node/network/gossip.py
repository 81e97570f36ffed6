"""What a service that tells its neighbours something asks of the network."""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from node.network.channel import ChannelLimits, Received
from node.network.identity import PeerId
from node.network.peers import PeerInfo


class GossipChannel(Protocol):
    """Frames to and from the neighbours."""

    @property
    def inbox(self) -> AsyncIterator[Received]: ...

    def broadcast(self, data: bytes, /, *, where: Callable[[PeerInfo], bool]) -> int: ...


class GossipNetwork(Protocol):
    """Channels, and a price for what neighbours do wrong."""

    def channel(self, protocol: str, limits: ChannelLimits, /) -> GossipChannel: ...

    def penalize(self, peer: PeerId, reason: str, cost: int, /) -> None: ...
