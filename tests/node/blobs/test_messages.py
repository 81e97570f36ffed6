"""How a blob is named and its chunks are proved."""

import pytest
from msgspec.structs import replace

from node.blobs.messages import (
    ANSWER_BYTES_MAX,
    BLOB_BYTES_MAX,
    CHUNK_ANSWER,
    CHUNK_BYTES,
    CHUNKS_MAX,
    MANIFEST,
    REQUEST,
    REQUEST_BYTES_MAX,
    BlobId,
    Chunk,
    Manifest,
    Request,
    blob_id,
    manifest_of,
    verify_chunk,
)
from primitives.codec import CodecError
from primitives.types import Hash
from tests.node.blobs.samples import LARGE, SMALL, chunk_of


def test_the_id_commits_to_length_and_content() -> None:
    manifest = manifest_of(SMALL)
    ids = [
        blob_id(each)
        for each in (
            manifest,
            manifest_of(SMALL + b"!"),
            manifest_of(SMALL.upper()),
            replace(manifest, size_bytes=manifest.size_bytes + 1),
        )
    ]
    assert len(set(ids)) == len(ids)
    assert blob_id(manifest).hex() == "64e0776b7710fe7e081bb1c51ba76c8d06e2eb19b3a9353524390bab50f69715"


@pytest.mark.parametrize("data", [SMALL, LARGE, bytes(CHUNK_BYTES), bytes(CHUNK_BYTES + 1)])
def test_every_chunk_is_proved_by_the_manifest(data: bytes) -> None:
    manifest = manifest_of(data)
    for index in range(manifest.chunk_count):
        assert verify_chunk(manifest, index, chunk_of(data, index))
    assert sum(map(manifest.chunk_size, range(manifest.chunk_count))) == len(data)


def test_a_chunk_elsewhere_altered_or_of_another_length_is_not_proved() -> None:
    manifest, chunk = manifest_of(LARGE), chunk_of(LARGE, 1)
    assert not verify_chunk(manifest, 0, chunk)
    assert not verify_chunk(manifest, 1, replace(chunk, data=b"!" + chunk.data[1:]))
    assert not verify_chunk(manifest, 1, replace(chunk, data=chunk.data[:-1]))
    assert not verify_chunk(manifest, 1, replace(chunk, siblings=chunk.siblings[:-1]))
    assert not verify_chunk(manifest, 1, replace(chunk, siblings=(*chunk.siblings, Hash(bytes(32)))))


@pytest.mark.parametrize("size_bytes", [0, BLOB_BYTES_MAX + 1])
def test_an_empty_or_overlong_blob_has_no_manifest(size_bytes: int) -> None:
    with pytest.raises(CodecError):
        MANIFEST.encode(Manifest(size_bytes, Hash(bytes(32))))


def test_the_largest_messages_fit_their_bounds() -> None:
    chunk = Chunk(bytes(CHUNK_BYTES), (Hash(bytes(32)),) * (CHUNKS_MAX - 1).bit_length())
    assert len(CHUNK_ANSWER.encode(chunk)) <= ANSWER_BYTES_MAX
    assert len(REQUEST.encode(Request(BlobId(bytes(32)), CHUNKS_MAX))) <= REQUEST_BYTES_MAX
