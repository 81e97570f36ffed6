"""Who is heard and told."""

from collections.abc import Callable, Hashable
from typing import cast

from node.consensus.messages import MESSAGE, Cast
from node.consensus_transport import (
    CHANNEL_LIMITS,
    STRANGER_COST,
    ConsensusTransport,
)
from node.network.channel import Inbox, Received
from node.network.hello import Role
from node.network.host import Network
from node.network.identity import PeerId
from node.network.peers import PeerInfo
from primitives.types import AuthorityIndex, EpochIndex, Signature, View
from primitives.vote import NO_BLOCK, Vote, VoteKind


def vote(view: int, signer: int = 0) -> Vote:
    signature = Signature(bytes(64))
    return Vote(VoteKind.NULLIFY, EpochIndex(1), View(view), NO_BLOCK, AuthorityIndex(signer), signature)


def peer(name: str, session_key: bytes | None) -> PeerInfo:
    return PeerInfo(
        peer_id=PeerId(name),
        address="",
        outbound=False,
        role=Role.FULL if session_key is None else Role.AUTHORITY,
        session_key=session_key,
        finalized_height=0,
    )


MEMBER, PRETENDER, FOLLOWER = peer("member", b"m" * 32), peer("pretender", b"p" * 32), peer("follower", None)


class FakeNetwork:
    """Three neighbours, of whom one is in the committee; its own channel too."""

    def __init__(self) -> None:
        self.inbox = Inbox(CHANNEL_LIMITS)
        self.told: list[PeerInfo] = []
        self.replaces: list[Hashable | None] = []
        self.charged: list[tuple[PeerId, int]] = []

    def channel(self, *_: object) -> "FakeNetwork":
        return self

    def peer(self, name: PeerId) -> PeerInfo | None:
        return {each.peer_id: each for each in (MEMBER, PRETENDER, FOLLOWER)}.get(name)

    def is_authority(self, info: PeerInfo) -> bool:
        return info is MEMBER

    def penalize(self, name: PeerId, _reason: str, cost: int) -> None:
        self.charged.append((name, cost))

    def broadcast(
        self, _: bytes, *, where: Callable[[PeerInfo], bool], urgent: bool, replaces: Hashable | None
    ) -> None:
        self.replaces.append(replaces)
        self.told += filter(where, (MEMBER, PRETENDER, FOLLOWER))


async def test_only_the_committee_is_heard_and_told() -> None:
    network = FakeNetwork()
    transport = ConsensusTransport(cast(Network, network))
    for number, sender in enumerate((FOLLOWER, PRETENDER, MEMBER)):
        network.inbox.put(Received(sender.peer_id, MESSAGE.encode(Cast(vote(1, number)))))
    assert await transport.receive() == (MEMBER.session_key, MESSAGE.encode(Cast(vote(1, 2))))
    assert network.charged == [(FOLLOWER.peer_id, STRANGER_COST)]
    transport.broadcast(MESSAGE.encode(Cast(vote(1, 3))), urgent=True, replaces=VoteKind.NULLIFY)
    assert network.replaces == [VoteKind.NULLIFY]
    assert network.told == [MEMBER]
