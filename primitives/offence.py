"""Offences as a chain records them, with all that is needed to judge them again.

The state root under which a record is proved vouches for the committee; the two signatures in it convict the
key without it.
"""

from enum import IntEnum
from typing import Final

from primitives.certificate import Verifier, verify_vote
from primitives.codec import Codec, Record
from primitives.committee import Committee
from primitives.signing import verify
from primitives.types import AccountId, BlockHash, BlockNumber, PublicKey, Stake
from primitives.vote import Evidence, VoteKind, conflict, evidence_of, vote_message


class OffenceKind(IntEnum):
    """What an authority did in one view, and an honest one never does."""

    DOUBLE_NOTARIZE = 0
    """It notarized two blocks."""

    DOUBLE_FINALIZE = 1
    """It finalized two blocks."""

    NULLIFY_AND_FINALIZE = 2
    """It gave the view up, and finalized a block in it."""


class OffenceRecord(Record, frozen=True):
    """An offence that was proved on chain."""

    kind: OffenceKind
    offender: AccountId
    """The account whose session key signed."""

    key: PublicKey
    stake: Stake
    """Its weight in the committee of the epoch of the votes."""

    anchor: BlockHash
    """Hash of the last block before that epoch, which both votes sign."""

    evidence: Evidence
    reported: BlockNumber
    """Height of the block that recorded it."""


OFFENCE_RECORD: Final = Codec[OffenceRecord](OffenceRecord)


def kind_of_offence(evidence: Evidence) -> OffenceKind | None:
    """What `evidence` shows if its signatures are good; None if nothing, or not in its canonical order."""
    first, second = evidence.first, evidence.second
    if not conflict(first, second) or evidence_of(first, second) != evidence:
        return None
    match first.kind, second.kind:
        case VoteKind.NOTARIZE, VoteKind.NOTARIZE:
            return OffenceKind.DOUBLE_NOTARIZE
        case VoteKind.FINALIZE, VoteKind.FINALIZE:
            return OffenceKind.DOUBLE_FINALIZE
        case _:
            return OffenceKind.NULLIFY_AND_FINALIZE


def verify_evidence(
    evidence: Evidence, committee: Committee, anchor: BlockHash, verifier: Verifier = verify
) -> bool:
    """Whether a member of `committee` signed both votes, and no honest one does; cheap checks first."""
    if kind_of_offence(evidence) is None:
        return False
    return all(verify_vote(vote, committee, anchor, verifier) for vote in (evidence.first, evidence.second))


def verify_offence(record: OffenceRecord, verifier: Verifier = verify) -> bool:
    """Whether the evidence in `record` convicts the key in it; that it was an authority, the state says."""
    if kind_of_offence(record.evidence) is not record.kind:
        return False
    return all(
        verifier(
            record.key,
            vote_message(record.anchor, vote.kind, vote.epoch, vote.view, vote.block),
            vote.signature,
        )
        for vote in (record.evidence.first, record.evidence.second)
    )
