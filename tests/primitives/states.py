"""Small states and their proofs, straight from the definition of the root."""

from collections.abc import Mapping

from primitives.hashing import blake2s_256
from primitives.state_proof import EMPTY, OtherLeaf, StateProof, bit, state_path
from primitives.state_root import state_root
from primitives.types import Hash


def prove(key: bytes, entries: Mapping[bytes, bytes]) -> StateProof:
    """The way to `key`, or to where it would be."""
    path, depth, siblings, bits = state_path(key), 0, list[Hash](), ""
    inside = dict(entries)
    while len(inside) > 1:
        beside = {k: v for k, v in inside.items() if bit(state_path(k), depth) != bit(path, depth)}
        inside = {k: v for k, v in inside.items() if k not in beside}
        root = _subtree_root(beside, depth + 1)
        bits += "01"[root != EMPTY]
        siblings += [root] if root != EMPTY else []
        depth += 1
    bitmap = int(bits.ljust(-(-depth // 8) * 8, "0") or "0", 2).to_bytes(-(-depth // 8), "big")
    others = [OtherLeaf(state_path(k), blake2s_256(v)) for k, v in inside.items() if k != key]
    return StateProof(depth, bitmap, tuple(siblings), others[0] if others else None)


def _subtree_root(entries: Mapping[bytes, bytes], depth: int) -> Hash:
    if len(entries) < 2:
        return state_root(entries.items())
    halves = ({k: v for k, v in entries.items() if bit(state_path(k), depth) == half} for half in (0, 1))
    return blake2s_256(b"".join(_subtree_root(half, depth + 1) for half in halves))
