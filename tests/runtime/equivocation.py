"""Evidence against members of the committee, for tests."""

from primitives.signing import SigningKey
from primitives.types import AuthorityIndex, BlockHash, EpochIndex, View
from primitives.vote import Evidence, Vote, VoteKind, evidence_of, vote_message


def vote_of(
    key: SigningKey,
    signer: int,
    anchor: BlockHash,
    kind: VoteKind,
    block: bytes,
    epoch: int = 1,
    view: int = 1,
) -> Vote:
    """A vote that the member at `signer` signed."""
    message = vote_message(anchor, kind, EpochIndex(epoch), View(view), block)
    return Vote(kind, EpochIndex(epoch), View(view), block, AuthorityIndex(signer), key.sign(message))


def double_vote(
    key: SigningKey,
    anchor: BlockHash,
    kind: VoteKind = VoteKind.NOTARIZE,
    *,
    signer: int = 0,
    epoch: int = 1,
    view: int = 1,
) -> Evidence:
    """Two votes of a kind for two blocks of a view."""
    one, other = (vote_of(key, signer, anchor, kind, bytes([block]) * 32, epoch, view) for block in (1, 2))
    return evidence_of(one, other)
