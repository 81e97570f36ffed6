"""The state root, and proofs that a key has a value, or has none, under it.

The root is a pure function of a set of (key, value), where an empty value differs from an absent key. A key's
place is its path, the BLAKE2b-256 of the key, read from the highest bit of the first byte. No entry: 32 zero
bytes. One entry: its leaf, however deep the subtree. Otherwise: the hash of the left half and the right half.
A leaf is the hash of 65 bytes and an inner node of 64, so that neither can be taken for the other.
"""

from typing import Annotated, Final

import msgspec

from primitives.codec import Codec, Record
from primitives.hashing import blake2b_256, blake2s_256
from primitives.types import Bytes32, Hash

PATH_BITS: Final = 256
"""Longest way from the root to a leaf."""

EMPTY: Final = Hash(bytes(32))
"""Root of a subtree without entries."""


class OtherLeaf(Record, frozen=True):
    """The only entry of the subtree in which an absent key would be."""

    path: Bytes32
    value_hash: Bytes32


class StateProof(Record, frozen=True):
    """The way from the root to where a key is, or would be. Height and key are known to whoever verifies."""

    depth: Annotated[int, msgspec.Meta(ge=0, le=PATH_BITS)]
    """Number of inner nodes on the way."""

    bitmap: Annotated[bytes, msgspec.Meta(max_length=PATH_BITS // 8)]
    """Bit i, highest first, tells whether the sibling beside step i of the way is not empty."""

    siblings: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=PATH_BITS)]
    """The siblings that are not empty, from the root down."""

    other: OtherLeaf | None
    """What stands in the key's place; only in a proof of absence, and only if something does."""


STATE_PROOF: Final = Codec[StateProof](StateProof)


def state_path(key: bytes) -> Hash:
    """Where `key` is in the tree."""
    return blake2b_256(key)


def leaf_hash(path: bytes, value_hash: bytes) -> Hash:
    """The node of one entry; `value_hash` is the BLAKE2s-256 of its value."""
    return blake2s_256(b"\x00" + path + value_hash)


def bit(data: bytes, index: int) -> int:
    """Bit `index` of `data`, counted from the highest bit of the first byte."""
    return data[index >> 3] >> (7 - (index & 7)) & 1


def verify_state_proof(root: bytes, key: bytes, value: bytes | None, proof: StateProof) -> bool:
    """Whether `key` has `value`, or has none if that is None, in the state with this `root`.

    A proof has one spelling: what it does not need it must not contain.
    """
    path = state_path(key)
    if not is_well_formed(proof) or (value is not None and proof.other is not None):
        return False
    if value is not None:
        node = leaf_hash(path, blake2s_256(value))
    elif proof.other is None:
        node = EMPTY
    elif proof.other.path == path or shared_bits(proof.other.path, path) < proof.depth:
        return False
    else:
        node = leaf_hash(proof.other.path, proof.other.value_hash)
    return root_above(node, path, proof) == root


def root_above(node: Hash, path: bytes, proof: StateProof) -> Hash:
    """The state root that a well-formed proof makes of `node`, which is on the way to `path`."""
    siblings = list(proof.siblings)
    for index in reversed(range(proof.depth)):
        sibling = siblings.pop() if bit(proof.bitmap, index) else EMPTY
        node = blake2s_256(sibling + node if bit(path, index) else node + sibling)
    return node


def is_well_formed(proof: StateProof) -> bool:
    """Whether the bitmap has `depth` bits, then zeros to the end of its byte, and names each sibling."""
    bits = int.from_bytes(proof.bitmap, "big")
    unused = -proof.depth % 8
    return (
        len(proof.bitmap) * 8 == proof.depth + unused
        and bits % (1 << unused) == 0
        and bits.bit_count() == len(proof.siblings)
        and EMPTY not in proof.siblings
    )


def shared_bits(first: bytes, second: bytes) -> int:
    """Length of the longest common prefix of two paths, in bits."""
    return PATH_BITS - (int.from_bytes(first, "big") ^ int.from_bytes(second, "big")).bit_length()
