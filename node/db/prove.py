"""State proofs from the tree, as `primitives.state_proof` verifies them."""

from collections.abc import Sequence

from node.db.subtree import VOID, Inner, Node, Subtree, is_leaf, node_of
from node.db.tree import BucketReader, Layer, StateTree
from primitives.state_proof import OtherLeaf, StateProof, bit
from primitives.types import Bytes32, Hash


def prove(tree: StateTree, layers: Sequence[Layer], path: bytes, read: BucketReader) -> StateProof:
    """The way to `path`, or to where it would be, in the tree that `layers` show."""
    beside: list[Node] = []
    node = tree.node_at(path, 0, layers)
    while len(beside) < tree.levels and node != VOID and not is_leaf(node):
        depth = len(beside) + 1
        beside.append(tree.node_at(path, depth, layers, beside=True))
        node = tree.node_at(path, depth, layers)
    end: Subtree
    if node == VOID:
        end = None
    elif is_leaf(node):
        end = tree.lone_leaf(path, len(beside), layers, read)
    else:
        end = tree.subtree(tree.bucket_of(path), layers, read)
    while isinstance(end, Inner):
        on_right = bit(path, len(beside))
        beside.append(node_of(end.left if on_right else end.right))
        end = end.right if on_right else end.left
    other = None
    if end is not None and end.path != path:
        other = OtherLeaf(Bytes32(end.path), Bytes32(end.value_hash))
    return proof_of(beside, other)


def proof_of(beside: Sequence[Node], other: OtherLeaf | None) -> StateProof:
    """The proof with these nodes beside the way, from the root down."""
    siblings = tuple(Hash(sibling[:-1]) for sibling in beside if sibling != VOID)
    return StateProof(len(beside), _bitmap(beside), siblings, other)


def _bitmap(beside: Sequence[Node]) -> bytes:
    """One bit for each sibling, highest first, then zeros to the end of the byte."""
    bits = "".join("0" if sibling == VOID else "1" for sibling in beside)
    size = -(-len(bits) // 8)
    return int(bits.ljust(8 * size, "0") or "0", 2).to_bytes(size, "big")
