"""Votes of the consensus, and what makes two of them an equivocation.

Source: Simplex (Chan, Pass 2023), weighted.
"""

from enum import IntEnum
from typing import Annotated, Final

import msgspec

from primitives.codec import Codec, Record
from primitives.hashing import domain
from primitives.types import AuthorityIndex, BlockHash, EpochIndex, Signature, View

MaybeBlockHash = Annotated[bytes, msgspec.Meta(max_length=32)]
"""A block hash, or no bytes where a vote is for no block."""

NO_BLOCK: Final = b""
"""What a NULLIFY vote is for."""


class VoteKind(IntEnum):
    """What a vote says about a view."""

    NOTARIZE = 0
    """The block is valid and available; the first round."""

    NULLIFY = 1
    """The view may be left without a block."""

    FINALIZE = 2
    """The view's block is notarized and the voter did not nullify it; the second round."""


class Vote(Record, frozen=True):
    """One authority's signed word on one view."""

    kind: VoteKind
    epoch: EpochIndex
    view: View
    block: MaybeBlockHash
    signer: AuthorityIndex
    signature: Signature

    def __post_init__(self) -> None:
        """Raises ValueError unless exactly the votes that are for a block name one."""
        ensure_subject(self.kind, self.block)


class Evidence(Record, frozen=True):
    """Two votes of one authority that an honest one never signs together, the smaller encoding first."""

    first: Vote
    second: Vote


VOTE: Final = Codec[Vote](Vote)
EVIDENCE: Final = Codec[Evidence](Evidence)
_DOMAIN: Final = domain("vote/1")


def ensure_subject(kind: VoteKind, block: bytes) -> None:
    """Raises ValueError unless `block` is 32 bytes, or empty for NULLIFY."""
    if len(block) != (0 if kind == VoteKind.NULLIFY else 32):
        raise ValueError("a NULLIFY names no block; any other vote names one")


def vote_message(anchor: BlockHash, kind: VoteKind, epoch: EpochIndex, view: View, block: bytes) -> bytes:
    """The signed bytes: every field that, left out, would let a vote count for something else.

    `anchor` is the hash of the last block before the epoch, so that forks of one genesis share no votes.
    """
    numbers = b"".join(number.to_bytes(8, "big") for number in (int(kind), epoch, view))
    return _DOMAIN + anchor + numbers + block


def conflict(first: Vote, second: Vote) -> bool:
    """Whether two votes convict their signer: same epoch, view and signer, and either the same kind for
    another block, or NULLIFY together with FINALIZE. Signatures are checked elsewhere."""
    if (first.epoch, first.view, first.signer) != (
        second.epoch,
        second.view,
        second.signer,
    ):
        return False
    return is_conflict((first.kind, first.block), (second.kind, second.block))


def is_conflict(first: tuple[VoteKind, bytes], second: tuple[VoteKind, bytes]) -> bool:
    """Whether nobody honest says both in one view: (kind, block) each."""
    if first[0] == second[0]:
        return first[1] != second[1]
    return {first[0], second[0]} == {VoteKind.NULLIFY, VoteKind.FINALIZE}


def evidence_of(first: Vote, second: Vote) -> Evidence:
    """The evidence in two conflicting votes, in its one canonical order."""
    assert conflict(first, second)
    low, high = sorted((first, second), key=VOTE.encode)
    return Evidence(low, high)
