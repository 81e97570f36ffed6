"""A subtree of the state tree as an immutable value, so that every block may keep its own.

A changed copy shares what did not change. A node is a hash and one more byte, which counts the leaves below
as none, one or more: a subtree of a single leaf is not hashed again on its way up.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from hashlib import blake2s
from typing import Final

from msgspec import Struct

Node = bytes
NODE_BYTES: Final = 33
VOID: Final[Node] = bytes(NODE_BYTES)
"""The node of a subtree without leaves."""

_LEAF: Final = b"\x01"
_INNER: Final = b"\x02"


class Leaf(Struct, frozen=True, gc=False):
    """One entry of the state."""

    node: Node
    path: bytes
    value_hash: bytes


class Inner(Struct, frozen=True, gc=False):
    """At least two entries."""

    node: Node
    left: "Subtree"
    right: "Subtree"


Subtree = Leaf | Inner | None
LeafChange = tuple[bytes, Leaf | None]
"""A path, and what is there afterwards."""


def leaf_of(path: bytes, value: bytes) -> Leaf:
    """The leaf of an entry. Agrees with `primitives.state_proof.leaf_hash`, at half the calls."""
    value_hash = blake2s(value).digest()
    return Leaf(blake2s(b"\x00" + path + value_hash).digest() + _LEAF, path, value_hash)


def node_above(left: Node, right: Node) -> Node:
    """The node over two halves; a lone leaf rises unchanged."""
    if left[-1] + right[-1] < 2:
        return left if left[-1] else right
    return blake2s(left[:-1] + right[:-1]).digest() + _INNER


def is_leaf(node: Node) -> bool:
    """Whether the subtree is a single leaf."""
    return node[-1] == 1


def node_of(subtree: Subtree) -> Node:
    """The node at the top of `subtree`."""
    return VOID if subtree is None else subtree.node


def build(leaves: Sequence[Leaf], depth: int) -> Subtree:
    """The subtree of `leaves`, ascending by path, all of which share their first `depth` bits."""
    if len(leaves) < 2:
        return leaves[0] if leaves else None
    byte, mask = depth >> 3, 0x80 >> (depth & 7)
    split = bisect_left(leaves, 1, key=lambda leaf: leaf.path[byte] & mask)
    return _join(build(leaves[:split], depth + 1), build(leaves[split:], depth + 1))


def update(subtree: Subtree, changes: Sequence[LeafChange], depth: int) -> Subtree:
    """`subtree` after `changes`, ascending by path; hashes only the ways to them."""
    if not changes:
        return subtree
    if isinstance(subtree, Inner):
        byte, mask = depth >> 3, 0x80 >> (depth & 7)
        split = bisect_left(changes, 1, key=lambda change: change[0][byte] & mask)
        left = update(subtree.left, changes[:split], depth + 1)
        return _join(left, update(subtree.right, changes[split:], depth + 1))
    leaves: dict[bytes, Leaf | None] = {} if subtree is None else {subtree.path: subtree}
    leaves.update(changes)
    return build(present(leaves), depth)


def present(leaves: Mapping[bytes, Leaf | None]) -> list[Leaf]:
    """Those that there are, ascending by path."""
    return [leaf for _, leaf in sorted(leaves.items()) if leaf is not None]


def _join(left: Subtree, right: Subtree) -> Subtree:
    if left is None and not isinstance(right, Inner):
        return right
    if right is None and not isinstance(left, Inner):
        return left
    return Inner(node_above(node_of(left), node_of(right)), left, right)
