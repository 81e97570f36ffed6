"""What travels on the snapshot protocol, and what of an answer can be verified without keeping any state."""

from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta

from primitives.codec import Codec, Record
from primitives.finality import EpochProof, Trusted, advance
from primitives.state_proof import StateProof
from primitives.state_range import Entry, Part, StateRange, part_of, verify_range
from primitives.types import BlockNumber, EpochIndex, Hash

PROTOCOL: Final = "/consilience/snapshot/1"

CHUNK_BYTES: Final = 1 << 20
"""Entries of one chunk; only a single entry may be longer."""

CHUNK_ENTRIES_MAX: Final = 1 << 16
"""More do not fit into CHUNK_BYTES: a key begins with 16 bytes that name its storage item."""

EPOCHS_BYTES: Final = 1 << 20
EPOCHS_MAX: Final = 1024
"""Epoch proofs of one answer; each is verified, which takes a tenth of a second for a thousand signatures."""

ANSWER_BYTES_MAX: Final = 8 << 20
"""Longest answer: a chunk of one very long entry."""

REQUEST_BYTES_MAX: Final = 128
HEIGHTS_MAX: Final = 32


class OfferQuestion(Record, frozen=True, tag=0):
    """What do you have?"""


class EpochsQuestion(Record, frozen=True, tag=1):
    """How did one committee follow on the other?"""

    first: EpochIndex


class ChunkQuestion(Record, frozen=True, tag=2):
    """What does a range of a held state hold?"""

    height: BlockNumber
    range_: StateRange
    known: Hash | None
    """Root of the range's subtree as the asker has it: then a proof will do."""


Question = OfferQuestion | EpochsQuestion | ChunkQuestion


class Offer(Record, frozen=True):
    """What a node says it can give; only proofs make it true."""

    finalized: BlockNumber
    epoch: EpochIndex
    """The running one: the epochs before it have proofs."""

    heights: Annotated[tuple[BlockNumber, ...], Meta(max_length=HEIGHTS_MAX)]
    """Of the states that it holds; the last block of an epoch each."""


class Epochs(Record, frozen=True):
    """Epoch proofs that follow one another; empty if the answerer has none."""

    proofs: Annotated[tuple[EpochProof, ...], Meta(max_length=EPOCHS_MAX)]


class Chunk(Record, frozen=True, tag=0):
    """All entries of a range, or of the largest range at its beginning that fits into one answer."""

    range_: StateRange
    entries: Annotated[tuple[Entry, ...], Meta(max_length=CHUNK_ENTRIES_MAX)] | None
    """Ascending by path; None if the asker has them."""

    proof: StateProof


class NotHeld(Record, frozen=True, tag=1):
    """The state is not held here, or no longer."""


QUESTION: Final[Codec[Question]] = Codec(Question)
OFFER: Final = Codec[Offer](Offer)
EPOCHS: Final = Codec[Epochs](Epochs)
CHUNK: Final[Codec[Chunk | NotHeld]] = Codec(Chunk | NotHeld)


class BadChunk(ValueError):
    """The chunk is not what was asked for, or is not in the state."""


def verified_epochs(data: bytes, trusted: Trusted) -> tuple[Sequence[EpochProof], Trusted]:
    """The proofs of an answer, and whom to trust after the last of them. Raises CodecError, BadProof."""
    proofs = EPOCHS.decode(data).proofs
    for proof in proofs:
        trusted = advance(trusted, proof)
    return proofs, trusted


def verified_chunk(
    data: bytes, root: Hash, asked: StateRange, known: Part | None
) -> tuple[Chunk, Part] | None:
    """The chunk of an answer, and what it is to the tree with this `root`; None if the state is not held.

    `known`: what the asker has of the range. Raises CodecError, BadRange, BadChunk.
    """
    chunk = CHUNK.decode(data)
    if isinstance(chunk, NotHeld):
        return None
    if chunk.entries is None:
        if known is None or chunk.range_ != asked:
            raise BadChunk("a chunk has no entries")
        part = known
    else:
        if chunk.range_.start != asked.start or chunk.range_.depth < asked.depth:
            raise BadChunk("a chunk is of another range")
        part = part_of(chunk.range_, chunk.entries)
    if not verify_range(root, chunk.range_, part, chunk.proof):
        raise BadChunk("a chunk is not in the state")
    return chunk, part
