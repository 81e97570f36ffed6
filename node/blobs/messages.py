"""What a blob is called, and what travels on the blob protocol.

A blob is cut into chunks of 1 MiB. Its id commits to its length and to the Merkle root over the hashes of its
chunks, so that whoever knows the id can check the manifest by itself, and every chunk by the manifest alone.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated, Final, NewType

from msgspec import Meta

from primitives.codec import Codec, Record
from primitives.hashing import blake2b_256, domain
from primitives.merkle import list_root, verify_item
from primitives.types import U16, Bytes32, Hash

PROTOCOL: Final = "/consilience/blobs/1"

CHUNK_BYTES: Final = 1024 * 1024
BLOB_BYTES_MAX: Final = 64 * 1024 * 1024
"""Longest blob: the longest model that the prover admits."""

CHUNKS_MAX: Final = BLOB_BYTES_MAX // CHUNK_BYTES

REQUEST_BYTES_MAX: Final = 64
ANSWER_BYTES_MAX: Final = CHUNK_BYTES + 1024
"""Longest answer: a chunk, its six siblings, and the record around them."""

BlobId = NewType("BlobId", Bytes32)
"""Identity of a blob's content."""

_DOMAIN: Final = domain("blob/1")


class Manifest(Record, frozen=True):
    """What a blob's id commits to."""

    size_bytes: Annotated[int, Meta(ge=1, le=BLOB_BYTES_MAX)]
    root: Hash
    """List root over the BLAKE2b-256 hash of each chunk."""

    @property
    def chunk_count(self) -> int:
        """How many chunks there are; all but the last are of CHUNK_BYTES."""
        return chunk_count_of(self.size_bytes)

    def chunk_size(self, index: int) -> int:
        """Bytes of the chunk at `index`."""
        return min(CHUNK_BYTES, self.size_bytes - index * CHUNK_BYTES)


class Absence(IntEnum):
    """Why a peer does not answer with what was asked for."""

    MISSING = 0
    """It does not have the blob."""

    BUSY = 1
    """It has given others as much as it may for now."""


class Request(Record, frozen=True):
    """A question for the manifest of a blob, or for one chunk of it."""

    blob: BlobId
    chunk: U16 | None


class Chunk(Record, frozen=True):
    """A chunk and its place in the blob."""

    data: Annotated[bytes, Meta(min_length=1, max_length=CHUNK_BYTES)]
    siblings: Annotated[tuple[Hash, ...], Meta(max_length=CHUNKS_MAX.bit_length())]
    """From the leaf up, as in `primitives.merkle.verify_item`."""


REQUEST: Final = Codec[Request](Request)
MANIFEST: Final = Codec[Manifest](Manifest)
MANIFEST_ANSWER: Final = Codec[Manifest | Absence](Manifest | Absence)
CHUNK_ANSWER: Final = Codec[Chunk | Absence](Chunk | Absence)


def chunk_count_of(size_bytes: int) -> int:
    """Chunks of a blob of this length."""
    return (size_bytes + CHUNK_BYTES - 1) // CHUNK_BYTES


def chunks_of(data: bytes) -> list[bytes]:
    """`data` cut into chunks."""
    return [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]


def chunk_hashes(chunks: Iterable[bytes]) -> list[Hash]:
    """What the root of a manifest is over."""
    return [blake2b_256(chunk) for chunk in chunks]


def manifest_of(data: bytes) -> Manifest:
    """The manifest of a blob (1 to BLOB_BYTES_MAX bytes)."""
    assert 0 < len(data) <= BLOB_BYTES_MAX
    return Manifest(len(data), list_root(chunk_hashes(chunks_of(data))))


def blob_id(manifest: Manifest) -> BlobId:
    """The id of the blob with this manifest."""
    return BlobId(blake2b_256(_DOMAIN + MANIFEST.encode(manifest)))


def verify_chunk(manifest: Manifest, index: int, chunk: Chunk) -> bool:
    """Whether `chunk` stands at `index` (within the blob) of the blob with this manifest."""
    right_size = len(chunk.data) == manifest.chunk_size(index)
    return right_size and verify_item(
        manifest.root, blake2b_256(chunk.data), index, manifest.chunk_count, chunk.siblings
    )
