from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.certificate import (
    CERTIFICATE,
    Certificate,
    certificate_of,
    verify_certificate,
    verify_vote,
)
from primitives.codec import CodecError
from primitives.committee import COMMITTEE, Committee, Member, committee_root
from primitives.signing import SigningKey
from primitives.types import (
    AuthorityIndex,
    BlockHash,
    BlockNumber,
    EpochIndex,
    Seed,
    SpecVersion,
    Stake,
    View,
)
from primitives.vote import (
    NO_BLOCK,
    Vote,
    VoteKind,
    conflict,
    evidence_of,
    vote_message,
)

KEYS = [SigningKey(Seed(bytes([number]) * 32)) for number in range(1, 5)]
STAKES = [Stake(5), Stake(3), Stake(2), Stake(1)]
ANCHOR = BlockHash(b"a" * 32)
BLOCK = b"b" * 32
COMMITTEE_1 = Committee(
    EpochIndex(1),
    BlockNumber(1),
    BlockNumber(10),
    SpecVersion(1),
    tuple(Member(key.public_key, stake) for key, stake in zip(KEYS, STAKES, strict=True)),
)


def cast(
    signer: int,
    kind: VoteKind = VoteKind.FINALIZE,
    block: bytes = BLOCK,
    view: int = 3,
    epoch: int = 1,
) -> Vote:
    message = vote_message(ANCHOR, kind, EpochIndex(epoch), View(view), block)
    return Vote(
        kind,
        EpochIndex(epoch),
        View(view),
        block,
        AuthorityIndex(signer),
        KEYS[signer].sign(message),
    )


@pytest.mark.parametrize("signers", list(product([False, True], repeat=4)))
def test_a_certificate_is_valid_exactly_with_more_than_two_thirds_of_the_stake(
    signers: tuple[bool, ...],
) -> None:
    chosen = [index for index, present in enumerate(signers) if present]
    if not chosen:
        return
    certificate = certificate_of([cast(index) for index in reversed(chosen)])
    stake = sum(STAKES[index] for index in chosen)
    assert verify_certificate(certificate, COMMITTEE_1, ANCHOR) == (stake >= 8)
    assert certificate.signers() == tuple(chosen)
    assert certificate.votes() == tuple(cast(index) for index in chosen)


def test_each_signed_field_matters() -> None:
    vote = cast(0)
    assert verify_vote(vote, COMMITTEE_1, ANCHOR)
    assert not verify_vote(vote, COMMITTEE_1, BlockHash(b"A" * 32))
    for other in (
        cast(0, kind=VoteKind.NOTARIZE),
        cast(0, block=b"c" * 32),
        cast(0, view=4),
        cast(1),
    ):
        forged = Vote(
            other.kind,
            other.epoch,
            other.view,
            other.block,
            other.signer,
            vote.signature,
        )
        assert verify_vote(other, COMMITTEE_1, ANCHOR)
        assert not verify_vote(forged, COMMITTEE_1, ANCHOR)


def test_a_vote_of_another_epoch_or_of_a_stranger_is_refused() -> None:
    assert not verify_vote(cast(0, epoch=2), COMMITTEE_1, ANCHOR)
    stranger = Vote(
        VoteKind.FINALIZE,
        EpochIndex(1),
        View(3),
        BLOCK,
        AuthorityIndex(4),
        cast(0).signature,
    )
    assert not verify_vote(stranger, COMMITTEE_1, ANCHOR)
    assert not verify_certificate(certificate_of([cast(0, epoch=2), cast(1, epoch=2)]), COMMITTEE_1, ANCHOR)


def test_a_certificate_with_one_forged_signature_is_refused() -> None:
    good = certificate_of([cast(0), cast(1)])
    forged = Certificate(
        good.kind,
        good.epoch,
        good.view,
        good.block,
        good.bitmap,
        (good.signatures[1], good.signatures[0]),
    )
    assert verify_certificate(good, COMMITTEE_1, ANCHOR)
    assert not verify_certificate(forged, COMMITTEE_1, ANCHOR)


@pytest.mark.parametrize(
    "fields",
    [
        (VoteKind.FINALIZE, BLOCK, b"\x03\x00", 2),
        (VoteKind.FINALIZE, BLOCK, b"\x03", 1),
        (VoteKind.FINALIZE, BLOCK, b"\x03", 3),
        (VoteKind.FINALIZE, NO_BLOCK, b"\x03", 2),
        (VoteKind.NULLIFY, BLOCK, b"\x03", 2),
    ],
)
def test_a_misshapen_certificate_dies_in_the_codec(
    fields: tuple[VoteKind, bytes, bytes, int],
) -> None:
    kind, block, bitmap, count = fields
    good = certificate_of([cast(0), cast(1)])
    raw = CERTIFICATE.encode(good)
    with pytest.raises(ValueError, match=r"bitmap|signers|names"):
        Certificate(kind, good.epoch, good.view, block, bitmap, (good.signatures[0],) * count)
    with pytest.raises(CodecError):
        CERTIFICATE.decode(raw.replace(b"\xc4\x01\x03", b"\xc4\x01\x01"))


def test_what_an_honest_authority_never_signs_together() -> None:
    nullify = cast(0, kind=VoteKind.NULLIFY, block=NO_BLOCK)
    assert conflict(cast(0), cast(0, block=b"c" * 32))
    assert conflict(cast(0), nullify)
    assert evidence_of(cast(0), nullify) == evidence_of(nullify, cast(0))
    assert not conflict(cast(0), cast(0))
    assert not conflict(cast(0, kind=VoteKind.NOTARIZE), nullify)
    assert not conflict(cast(0, kind=VoteKind.NOTARIZE, block=b"c" * 32), cast(0))
    assert not conflict(cast(0), cast(0, view=4, block=b"c" * 32))
    assert not conflict(cast(0), cast(1, block=b"c" * 32))
    assert not conflict(cast(0), cast(0, epoch=2, block=b"c" * 32))


@given(st.permutations(range(4)))
def test_the_root_of_a_committee_depends_on_the_order_of_its_members(
    order: list[int],
) -> None:
    shuffled = Committee(
        COMMITTEE_1.epoch,
        COMMITTEE_1.first_height,
        COMMITTEE_1.last_height,
        COMMITTEE_1.spec_version,
        tuple(COMMITTEE_1.members[index] for index in order),
    )
    assert (committee_root(shuffled) == committee_root(COMMITTEE_1)) == (order == [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("first", "last", "members"),
    [
        (0, 1, [(1, 1)]),
        (2, 1, [(1, 1)]),
        (1, 1, []),
        (1, 1, [(1, 1), (1, 2)]),
        (1, 1, [(1, 0)]),
        (1, 1, [(1, 2**62), (2, 2**62)]),
    ],
)
def test_an_impossible_committee_dies_in_the_codec(
    first: int, last: int, members: list[tuple[int, int]]
) -> None:
    raw = msgspec.msgpack.encode([1, first, last, 1, [[bytes([key]) * 32, stake] for key, stake in members]])
    with pytest.raises(CodecError):
        COMMITTEE.decode(raw)
