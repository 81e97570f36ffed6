"""Evidence convicts who signed it, and only that."""

import pytest
from msgspec.structs import replace

from primitives.committee import Committee, Member
from primitives.offence import (
    OFFENCE_RECORD,
    OffenceKind,
    OffenceRecord,
    kind_of_offence,
    verify_evidence,
    verify_offence,
)
from primitives.signing import SigningKey
from primitives.types import (
    AccountId,
    AuthorityIndex,
    BlockHash,
    BlockNumber,
    EpochIndex,
    Seed,
    Signature,
    SpecVersion,
    Stake,
    View,
)
from primitives.vote import NO_BLOCK, Evidence, Vote, VoteKind, evidence_of, vote_message

KEYS = [SigningKey(Seed(bytes([index]) * 32)) for index in (1, 2)]
COMMITTEE = Committee(
    EpochIndex(5),
    BlockNumber(41),
    BlockNumber(50),
    SpecVersion(1),
    tuple(Member(key.public_key, Stake(1)) for key in KEYS),
)
ANCHOR = BlockHash(b"\xaa" * 32)
ONE, OTHER = b"\x01" * 32, b"\x02" * 32


def vote(kind: VoteKind, block: bytes, view: int = 9, signer: int = 1) -> Vote:
    message = vote_message(ANCHOR, kind, EpochIndex(5), View(view), block)
    signature = KEYS[signer].sign(message)
    return Vote(kind, EpochIndex(5), View(view), block, AuthorityIndex(signer), signature)


DOUBLE_NOTARIZE = evidence_of(vote(VoteKind.NOTARIZE, ONE), vote(VoteKind.NOTARIZE, OTHER))
DOUBLE_FINALIZE = evidence_of(vote(VoteKind.FINALIZE, ONE), vote(VoteKind.FINALIZE, OTHER))
BOTH = evidence_of(vote(VoteKind.FINALIZE, ONE), vote(VoteKind.NULLIFY, NO_BLOCK))


def record(evidence: Evidence, kind: OffenceKind) -> OffenceRecord:
    return OffenceRecord(
        kind, AccountId(bytes(32)), KEYS[1].public_key, Stake(1), ANCHOR, evidence, BlockNumber(60)
    )


@pytest.mark.parametrize(
    ("evidence", "kind"),
    [
        (DOUBLE_NOTARIZE, OffenceKind.DOUBLE_NOTARIZE),
        (DOUBLE_FINALIZE, OffenceKind.DOUBLE_FINALIZE),
        (BOTH, OffenceKind.NULLIFY_AND_FINALIZE),
    ],
)
def test_two_conflicting_votes_convict(evidence: Evidence, kind: OffenceKind) -> None:
    assert kind_of_offence(evidence) is kind
    assert verify_evidence(evidence, COMMITTEE, ANCHOR)
    found = record(evidence, kind)
    assert verify_offence(OFFENCE_RECORD.decode(OFFENCE_RECORD.encode(found)))


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(DOUBLE_NOTARIZE.second, DOUBLE_NOTARIZE.first),
        Evidence(DOUBLE_NOTARIZE.first, DOUBLE_NOTARIZE.first),
        Evidence(vote(VoteKind.NOTARIZE, ONE), vote(VoteKind.FINALIZE, OTHER)),
        Evidence(vote(VoteKind.NOTARIZE, ONE), vote(VoteKind.NULLIFY, NO_BLOCK)),
        Evidence(vote(VoteKind.NOTARIZE, ONE), vote(VoteKind.NOTARIZE, OTHER, view=10)),
        Evidence(vote(VoteKind.NOTARIZE, ONE), vote(VoteKind.NOTARIZE, OTHER, signer=0)),
    ],
    ids=["wrong order", "one vote", "two blocks", "nullified after", "two views", "two signers"],
)
def test_votes_that_an_honest_authority_may_sign_convict_nobody(evidence: Evidence) -> None:
    assert kind_of_offence(evidence) is None
    assert not verify_evidence(evidence, COMMITTEE, ANCHOR)
    assert not verify_offence(record(evidence, OffenceKind.DOUBLE_NOTARIZE))


def test_the_kind_in_a_record_is_that_of_its_evidence() -> None:
    assert not verify_offence(record(DOUBLE_NOTARIZE, OffenceKind.DOUBLE_FINALIZE))


@pytest.mark.parametrize("which", ["first", "second"])
def test_both_signatures_count(which: str) -> None:
    forged = replace(getattr(DOUBLE_NOTARIZE, which), signature=Signature(bytes(64)))
    votes = {"first": DOUBLE_NOTARIZE.first, "second": DOUBLE_NOTARIZE.second} | {which: forged}
    evidence = evidence_of(votes["first"], votes["second"])
    assert not verify_evidence(evidence, COMMITTEE, ANCHOR)
    assert not verify_offence(record(evidence, OffenceKind.DOUBLE_NOTARIZE))


def test_votes_of_another_fork_or_committee_convict_nobody() -> None:
    assert not verify_evidence(DOUBLE_NOTARIZE, COMMITTEE, BlockHash(bytes(32)))
    assert not verify_evidence(DOUBLE_NOTARIZE, replace(COMMITTEE, epoch=EpochIndex(6)), ANCHOR)
    assert not verify_evidence(DOUBLE_NOTARIZE, replace(COMMITTEE, members=COMMITTEE.members[:1]), ANCHOR)
    found = record(DOUBLE_NOTARIZE, OffenceKind.DOUBLE_NOTARIZE)
    assert not verify_offence(replace(found, anchor=BlockHash(bytes(32))))
    assert not verify_offence(replace(found, key=KEYS[0].public_key))
