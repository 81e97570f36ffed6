"""The encodings, held to what was written down by a decoder and a hash that are not the project's."""

import json
from hashlib import blake2b
from typing import Any

import msgpack
import pytest

from tests.primitives.vectors import PATH, make, shown

VECTORS: dict[str, Any] = json.loads(PATH.read_text())


def digest(data: bytes) -> str:
    return blake2b(data, digest_size=32).hexdigest()


@pytest.mark.parametrize("name", VECTORS)
def test_an_encoding_is_what_was_written_down(name: str) -> None:
    assert make()[name] == VECTORS[name]


@pytest.mark.parametrize("name", VECTORS)
def test_msgpack_reads_the_fields_and_writes_the_same_bytes(name: str) -> None:
    data = bytes.fromhex(VECTORS[name]["bytes"])
    assert shown(msgpack.unpackb(data)) == VECTORS[name]["fields"]
    assert msgpack.packb(msgpack.unpackb(data)) == data


def test_no_record_lacks_a_vector() -> None:
    assert set(make()) == set(VECTORS)


@pytest.mark.parametrize(
    ("name", "domain"), [("extrinsic", "extrinsic/1"), ("header", "block/1"), ("committee", "committee/1")]
)
def test_an_identity_is_the_domain_separated_hash_of_the_bytes(name: str, domain: str) -> None:
    data = b"consilience/" + domain.encode() + b"\x00" + bytes.fromhex(VECTORS[name]["bytes"])
    assert digest(data) == VECTORS[name]["hash"]


def test_the_body_root_is_the_list_root_of_its_two_items() -> None:
    _, (inherents, extrinsics) = msgpack.unpackb(bytes.fromhex(VECTORS["block"]["bytes"]))
    leaves = [bytes.fromhex(digest(b"\x00" + msgpack.packb(item))) for item in inherents + extrinsics]
    assert digest(b"\x01" + leaves[0] + leaves[1]) == VECTORS["block"]["hash"]


def test_a_signed_vote_is_domain_anchor_kind_epoch_view_and_block() -> None:
    kind, epoch, view, block, _, _ = msgpack.unpackb(bytes.fromhex(VECTORS["vote"]["bytes"]))
    signed = bytes.fromhex(VECTORS["vote"]["signed"])
    numbers = b"".join(number.to_bytes(8, "big") for number in (kind, epoch, view))
    assert signed.startswith(b"consilience/vote/1\x00")
    assert signed.endswith(numbers + block)
    assert len(signed) == len(b"consilience/vote/1\x00") + 32 + 24 + 32
