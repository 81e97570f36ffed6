"""What a light client believes, and how it comes to believe more. No I/O, no clock.

It starts from the genesis block alone. Each committee vouches for the next in the last block of its epoch;
a block is final by a certificate of its epoch's committee; an entry of the state is proved against the state
root of a final block.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from node.light.messages import ProvedRead
from primitives.block import Header
from primitives.codec import Codec, Record
from primitives.committee import Committee
from primitives.finality import (
    BadProof,
    EpochProof,
    FinalityProof,
    Flaw,
    Trusted,
    advance,
    trust_genesis,
    verify_finality,
)
from primitives.state_proof import verify_state_proof
from primitives.types import BlockHash


class Belief(Record, frozen=True):
    """Everything that a light client keeps."""

    genesis: BlockHash
    trusted: Trusted
    newest: Header
    """The highest final header seen; an answer about an older one is refused as stale."""


BELIEF: Final = Codec[Belief](Belief)


def believe_genesis(header: Header, committee: Committee) -> Belief:
    """The first belief, from a chain's genesis block. Raises BadProof."""
    trusted = trust_genesis(header, committee)
    return Belief(trusted.anchor, trusted, header)


def enter_epoch(belief: Belief, proof: EpochProof) -> Belief:
    """Belief in the committee of the next epoch. Raises BadProof."""
    return _seen(belief, advance(belief.trusted, proof), proof.header)


def see_final(belief: Belief, proof: FinalityProof) -> tuple[Belief, Header]:
    """The belief after a finality proof, and the header that it proves. Raises BadProof."""
    header = verify_finality(belief.trusted, proof)
    return _seen(belief, belief.trusted, header), header


def read(
    belief: Belief, keys: Sequence[bytes], answer: ProvedRead
) -> tuple[Belief, Header, Mapping[bytes, bytes | None]]:
    """What the state holds under `keys`, and after which block; None under a key that is proved absent.

    Raises BadProof unless the answer is about exactly these keys and not older than what was seen before.
    """
    grown, header = see_final(belief, answer.finality)
    if header.height < belief.newest.height:
        raise BadProof(Flaw.WRONG_HEIGHT)
    if [entry.key for entry in answer.entries] != list(keys):
        raise BadProof(Flaw.WRONG_STATE)
    for entry in answer.entries:
        if not verify_state_proof(header.state_root, entry.key, entry.value, entry.proof):
            raise BadProof(Flaw.WRONG_STATE)
    return grown, header, {entry.key: entry.value for entry in answer.entries}


def _seen(belief: Belief, trusted: Trusted, header: Header) -> Belief:
    newest = header if header.height > belief.newest.height else belief.newest
    return Belief(belief.genesis, trusted, newest)
