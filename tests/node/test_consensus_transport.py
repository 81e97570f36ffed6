"""Who is heard and told, and the record of votes that whoever looks for contradictions reads."""

from collections.abc import Callable
from itertools import pairwise
from typing import cast

from node.consensus.messages import MESSAGE, Bundle, Cast
from node.consensus_transport import (
    CHANNEL_LIMITS,
    STRANGER_COST,
    VOTES_REMEMBERED,
    ConsensusTransport,
    VoteRecord,
)
from node.network.channel import Inbox, Received
from node.network.hello import Role
from node.network.host import Network
from node.network.identity import PeerId
from node.network.peers import PeerInfo
from primitives.certificate import certificate_of
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
        self.charged: list[tuple[PeerId, int]] = []

    def channel(self, *_: object) -> "FakeNetwork":
        return self

    def peer(self, name: PeerId) -> PeerInfo | None:
        return {each.peer_id: each for each in (MEMBER, PRETENDER, FOLLOWER)}.get(name)

    def is_authority(self, info: PeerInfo) -> bool:
        return info is MEMBER

    def penalize(self, name: PeerId, _reason: str, cost: int) -> None:
        self.charged.append((name, cost))

    def broadcast(self, _: bytes, *, where: Callable[[PeerInfo], bool], urgent: bool) -> None:
        self.told += filter(where, (MEMBER, PRETENDER, FOLLOWER))


async def test_only_the_committee_is_heard_and_told() -> None:
    network, record = FakeNetwork(), VoteRecord()
    transport = ConsensusTransport(cast(Network, network), record)
    for number, sender in enumerate((FOLLOWER, PRETENDER, MEMBER)):
        network.inbox.put(Received(sender.peer_id, MESSAGE.encode(Cast(vote(1, number)))))
    assert await transport.receive() == (MEMBER.session_key, MESSAGE.encode(Cast(vote(1, 2))))
    assert record.page(0, 10) == (1, [vote(1, 2)])
    assert network.charged == [(FOLLOWER.peer_id, STRANGER_COST)]
    transport.broadcast(MESSAGE.encode(Cast(vote(1, 3))), urgent=True)
    assert network.told == [MEMBER]


def test_votes_alone_and_in_certificates_are_noted_once() -> None:
    record = VoteRecord()
    record.note(Cast(vote(1)))
    record.note(Cast(vote(1)))
    record.note(Bundle(EpochIndex(1), (certificate_of([vote(1), vote(1, signer=1)]),)))
    assert record.page(0, 10) == (2, [vote(1), vote(1, signer=1)])
    assert record.page(2, 10) == (2, [])


def test_a_reader_goes_on_where_it_was_and_the_oldest_are_forgotten() -> None:
    record = VoteRecord()
    for view in range(VOTES_REMEMBERED + 10):
        record.note(Cast(vote(view)))
    pages = [record.page(0, 100)]
    while pages[-1][1]:
        pages.append(record.page(pages[-1][0], 100))
    seen = [one.view for _, page in pages for one in page]
    assert len(seen) == VOTES_REMEMBERED
    assert seen[0] == 10
    assert all(later == earlier + 1 for earlier, later in pairwise(seen))
    record.note(Cast(vote(10**6)))
    assert record.page(pages[-1][0], 100)[1] == [vote(10**6)]
