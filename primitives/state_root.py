"""The state root straight from its definition: for genesis states, tests and whoever audits a whole state.

A node keeps a tree (`node.db.tree`) that gives the same root after a change without looking at every entry.
"""

from collections.abc import Iterable, Sequence

from primitives.hashing import blake2s_256
from primitives.state_proof import EMPTY, bit, leaf_hash, state_path
from primitives.types import Hash


def state_root(entries: Iterable[tuple[bytes, bytes]]) -> Hash:
    """The root of a state with these distinct (key, value)."""
    placed = sorted((state_path(key), blake2s_256(value)) for key, value in entries)
    return _root([(path, leaf_hash(path, value_hash)) for path, value_hash in placed], 0)


def _root(leaves: Sequence[tuple[Hash, Hash]], depth: int) -> Hash:
    """The root of the subtree of `leaves`, sorted by path, whose first `depth` bits agree."""
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaves[0][1]
    split = sum(1 for path, _ in leaves if not bit(path, depth))
    return blake2s_256(_root(leaves[:split], depth + 1) + _root(leaves[split:], depth + 1))
