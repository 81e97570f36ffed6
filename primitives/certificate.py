"""Certificates: a quorum of equal votes, verified against a committee."""

from collections.abc import Callable, Iterable
from typing import Annotated, Final

import msgspec

from primitives.codec import Codec, Record
from primitives.committee import MEMBERS_MAX, Committee
from primitives.signing import verify
from primitives.types import AuthorityIndex, BlockHash, EpochIndex, Signature, View
from primitives.vote import MaybeBlockHash, Vote, VoteKind, ensure_subject, vote_message

Verifier = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> valid; injected, so that a core may be run with remembered verdicts."""


class Certificate(Record, frozen=True):
    """Proof that more than two thirds of the stake cast the same vote."""

    kind: VoteKind
    epoch: EpochIndex
    view: View
    block: MaybeBlockHash
    bitmap: Annotated[bytes, msgspec.Meta(max_length=MEMBERS_MAX // 8)]
    """Bit i (of byte i // 8, lowest first) is set if member i signed; no trailing zero byte."""

    signatures: Annotated[tuple[Signature, ...], msgspec.Meta(max_length=MEMBERS_MAX)]
    """One for each set bit, in the order of the members."""

    def __post_init__(self) -> None:
        """Raises ValueError unless bitmap and signatures fit each other and the kind fits the block."""
        ensure_subject(self.kind, self.block)
        if self.bitmap[-1:] == b"\x00":
            raise ValueError("trailing zero byte in the bitmap")
        if int.from_bytes(self.bitmap, "little").bit_count() != len(self.signatures):
            raise ValueError("as many signatures as signers, no more and no fewer")

    def signers(self) -> tuple[AuthorityIndex, ...]:
        """Positions of the signers, strictly increasing."""
        bits = int.from_bytes(self.bitmap, "little")
        return tuple(AuthorityIndex(index) for index in range(bits.bit_length()) if bits >> index & 1)

    def votes(self) -> tuple[Vote, ...]:
        """The votes that the certificate is made of."""
        return tuple(
            Vote(self.kind, self.epoch, self.view, self.block, signer, signature)
            for signer, signature in zip(self.signers(), self.signatures, strict=True)
        )


CERTIFICATE: Final = Codec[Certificate](Certificate)


def certificate_of(votes: Iterable[Vote]) -> Certificate:
    """The certificate of equal votes by distinct signers; whether they are a quorum is judged elsewhere."""
    ordered = sorted(votes, key=lambda vote: vote.signer)
    bits = sum(1 << vote.signer for vote in ordered)
    bitmap = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    one = ordered[0]
    return Certificate(
        one.kind,
        one.epoch,
        one.view,
        one.block,
        bitmap,
        tuple(vote.signature for vote in ordered),
    )


def verify_vote(vote: Vote, committee: Committee, anchor: BlockHash, verifier: Verifier = verify) -> bool:
    """Whether a member of `committee` signed `vote`."""
    if vote.epoch != committee.epoch or vote.signer >= len(committee.members):
        return False
    message = vote_message(anchor, vote.kind, vote.epoch, vote.view, vote.block)
    return verifier(committee.members[vote.signer].key, message, vote.signature)


def verify_certificate(
    certificate: Certificate,
    committee: Committee,
    anchor: BlockHash,
    verifier: Verifier = verify,
) -> bool:
    """Whether more than two thirds of the committee's stake signed; the cheap checks come first."""
    signers = certificate.signers()
    if certificate.epoch != committee.epoch or any(index >= len(committee.members) for index in signers):
        return False
    if not committee.is_quorum(signers):
        return False
    message = vote_message(anchor, certificate.kind, certificate.epoch, certificate.view, certificate.block)
    keys = [committee.members[index].key for index in signers]
    return all(
        verifier(key, message, signature) for key, signature in zip(keys, certificate.signatures, strict=True)
    )
