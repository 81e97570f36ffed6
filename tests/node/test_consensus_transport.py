"""The record of votes that whoever looks for contradictions reads."""

from itertools import pairwise

from node.consensus.messages import Bundle, Cast
from node.consensus_transport import VOTES_REMEMBERED, VoteRecord
from primitives.certificate import certificate_of
from primitives.types import AuthorityIndex, EpochIndex, Signature, View
from primitives.vote import NO_BLOCK, Vote, VoteKind


def vote(view: int, signer: int = 0) -> Vote:
    signature = Signature(bytes(64))
    return Vote(VoteKind.NULLIFY, EpochIndex(1), View(view), NO_BLOCK, AuthorityIndex(signer), signature)


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
