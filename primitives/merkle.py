"""The root of a list, and proofs that an item stands at an index of it.

Leaves are hashed under 0x00 and inner nodes under 0x01, the left subtree holding the largest power of two
below the count. Source: RFC 6962, section 2.1, with BLAKE2b-256.
"""

from collections.abc import Sequence
from typing import Final

from primitives.hashing import blake2b_256
from primitives.types import Hash

EMPTY_ROOT: Final = blake2b_256(b"")
"""Root of the list without items."""


def list_root(items: Sequence[bytes]) -> Hash:
    """The root of `items` in order."""
    return _fold([_leaf(item) for item in items]) if items else EMPTY_ROOT


def prove_item(items: Sequence[bytes], index: int) -> tuple[Hash, ...]:
    """The sibling hashes from the leaf at `index` up to the root. Raises IndexError outside the list."""
    if not 0 <= index < len(items):
        raise IndexError(index)
    return tuple(_siblings([_leaf(item) for item in items], index))


def verify_item(root: bytes, item: bytes, index: int, count: int, siblings: Sequence[bytes]) -> bool:
    """Whether `item` stands at `index` of the list of `count` items that has this `root`."""
    if not 0 <= index < count:
        return False
    rest = list(siblings)
    found = _climb(_leaf(item), index, count, rest)
    return found == root and not rest


def _climb(leaf: Hash, index: int, count: int, siblings: list[bytes]) -> Hash | None:
    """The root over a subtree of `count` leaves, taking siblings from the front (lowest first)."""
    if count == 1:
        return leaf
    split = _split(count)
    on_left = index < split
    below = _climb(
        leaf,
        index if on_left else index - split,
        split if on_left else count - split,
        siblings,
    )
    if below is None or not siblings:
        return None
    sibling = Hash(siblings.pop(0))
    return _inner(below, sibling) if on_left else _inner(sibling, below)


def _fold(hashes: Sequence[Hash]) -> Hash:
    if len(hashes) == 1:
        return hashes[0]
    split = _split(len(hashes))
    return _inner(_fold(hashes[:split]), _fold(hashes[split:]))


def _siblings(hashes: Sequence[Hash], index: int) -> list[Hash]:
    if len(hashes) == 1:
        return []
    split = _split(len(hashes))
    left, right = hashes[:split], hashes[split:]
    if index < split:
        return [*_siblings(left, index), _fold(right)]
    return [*_siblings(right, index - split), _fold(left)]


def _split(count: int) -> int:
    """The largest power of two below `count` (count >= 2)."""
    return 1 << ((count - 1).bit_length() - 1)


def _leaf(item: bytes) -> Hash:
    return blake2b_256(b"\x00" + item)


def _inner(left: bytes, right: bytes) -> Hash:
    return blake2b_256(b"\x01" + left + right)
