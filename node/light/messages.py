"""What a light client is answered with, besides epoch and finality proofs."""

from typing import Annotated, Final

import msgspec

from primitives.codec import Codec, Record
from primitives.finality import FinalityProof
from primitives.state_proof import StateProof
from primitives.types import STORAGE_KEY_BYTES_MAX

KEYS_MAX: Final = 64
"""Most keys in one question."""


class ProvedEntry(Record, frozen=True):
    """One entry of the state, or its absence, with the proof."""

    key: Annotated[bytes, msgspec.Meta(max_length=STORAGE_KEY_BYTES_MAX)]
    value: bytes | None
    proof: StateProof


class ProvedRead(Record, frozen=True):
    """Entries of the state after one final block."""

    finality: FinalityProof
    """Its first header is the block after which the state was read."""

    entries: Annotated[tuple[ProvedEntry, ...], msgspec.Meta(max_length=KEYS_MAX)]


PROVED_READ: Final = Codec[ProvedRead](ProvedRead)
