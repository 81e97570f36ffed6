"""Parts of a state, and proofs that nothing is missing from one of them, nothing added and nothing changed.

A part is everything under the first bits of a path. Its entries make the root of its subtree; the siblings on
the way up make the state root of that. A subtree of a single entry is that entry's leaf and rises to where
others are, so that the way up of a part with fewer than two entries may begin above it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Annotated, Final

import msgspec

from primitives.codec import Record
from primitives.hashing import blake2s_256
from primitives.state_proof import (
    EMPTY,
    PATH_BITS,
    StateProof,
    is_well_formed,
    leaf_hash,
    root_above,
    shared_bits,
    state_path,
)
from primitives.types import STORAGE_KEY_BYTES_MAX, Bytes32, Hash

StorageKey = Annotated[bytes, msgspec.Meta(min_length=1, max_length=STORAGE_KEY_BYTES_MAX)]
Entry = tuple[StorageKey, bytes]
"""Key and value."""


class StateRange(Record, frozen=True):
    """All paths that begin with the first `depth` bits of `start`."""

    start: Bytes32
    """The lowest of them: its other bits are zero."""

    depth: Annotated[int, msgspec.Meta(ge=0, le=PATH_BITS)]

    def __post_init__(self) -> None:
        """Raises ValueError for a range with a second spelling."""
        if int.from_bytes(self.start, "big") % self.size:
            raise ValueError("a range of paths does not begin where it says")

    @staticmethod
    def around(path: bytes, depth: int) -> "StateRange":
        """The range of `depth` in which `path` is."""
        cut = PATH_BITS - depth
        return StateRange(Bytes32((int.from_bytes(path, "big") >> cut << cut).to_bytes(32, "big")), depth)

    @property
    def size(self) -> int:
        """The number of paths."""
        return 1 << (PATH_BITS - self.depth)

    @property
    def last(self) -> bytes:
        """The highest path."""
        return (int.from_bytes(self.start, "big") + self.size - 1).to_bytes(32, "big")

    def contains(self, path: bytes) -> bool:
        """Whether `path` is in the range."""
        return shared_bits(path, self.start) >= self.depth

    def first_part(self, depth: int) -> "StateRange":
        """The lowest range of `depth`, at least our own, in this one."""
        assert depth >= self.depth
        return StateRange(self.start, depth)

    def beside_first_part(self, depth: int) -> list["StateRange"]:
        """What `first_part` leaves of this range, ascending."""
        return [_beside(self.start, bits) for bits in range(depth, self.depth, -1)]


WHOLE: Final = StateRange(Bytes32(bytes(32)), 0)
"""The whole state."""


class Part(msgspec.Struct, frozen=True):
    """What a range holds, as the tree sees it."""

    entries: int
    """0, 1, or 2 for more than one."""

    node: Hash
    """Root of the subtree."""


class BadRange(ValueError):
    """Entries that are in no range like this, or not in the order of their paths."""


def part_of(range_: StateRange, entries: Sequence[Entry]) -> Part:
    """What `entries` are to the tree if they are all of `range_`. Raises BadRange."""
    paths = [state_path(key) for key, _ in entries]
    if any(lower >= higher for lower, higher in pairwise(paths)):
        raise BadRange("entries are not in the order of their paths")
    if paths and not (range_.contains(paths[0]) and range_.contains(paths[-1])):
        raise BadRange("an entry is outside its range")
    leaves = [leaf_hash(path, blake2s_256(value)) for path, (_, value) in zip(paths, entries, strict=True)]
    return Part(min(len(leaves), 2), _root(paths, leaves, (0, len(leaves)), range_.depth))


def verify_range(root: bytes, range_: StateRange, part: Part, proof: StateProof) -> bool:
    """Whether `range_` is `part` in the state with this `root`. A proof has one spelling."""
    if not is_well_formed(proof) or proof.depth > range_.depth:
        return False
    node = part.node
    if part.entries == 2:
        if proof.depth != range_.depth or proof.other is not None:
            return False
    elif part.entries == 1:
        if proof.other is not None:
            return False
    elif proof.other is not None:
        shared = shared_bits(proof.other.path, range_.start)
        if not proof.depth <= shared < range_.depth:
            return False
        node = leaf_hash(proof.other.path, proof.other.value_hash)
    return root_above(node, range_.start, proof) == root


def complement(covered: Iterable[StateRange]) -> list[StateRange]:
    """The fewest ranges that are left of the whole state, ascending; those of `covered` share nothing."""
    left: list[StateRange] = []
    begin = 0
    for range_ in sorted(covered, key=lambda each: each.start):
        low = int.from_bytes(range_.start, "big")
        left += _between(begin, low)
        begin = low + range_.size
    return left + _between(begin, 1 << PATH_BITS)


def _between(begin: int, end: int) -> list[StateRange]:
    """The fewest ranges that cover the paths from `begin` to before `end`."""
    found: list[StateRange] = []
    while begin < end:
        bits = min((begin & -begin or 1 << PATH_BITS).bit_length(), (end - begin).bit_length()) - 1
        found.append(StateRange(Bytes32(begin.to_bytes(32, "big")), PATH_BITS - bits))
        begin += 1 << bits
    return found


def _beside(start: bytes, depth: int) -> StateRange:
    """The range of `depth` beside the one that begins at `start`, where that is the lower half."""
    return StateRange(
        Bytes32((int.from_bytes(start, "big") | 1 << (PATH_BITS - depth)).to_bytes(32, "big")), depth
    )


def _root(paths: Sequence[bytes], leaves: Sequence[Hash], span: tuple[int, int], depth: int) -> Hash:
    """The root of the subtree of the leaves in `span`, whose paths share their first `depth` bits."""
    low, high = span
    if high - low < 2:
        return leaves[low] if low < high else EMPTY
    byte, mask = depth >> 3, 0x80 >> (depth & 7)
    if paths[low][byte] & mask:
        split = low
    elif not paths[high - 1][byte] & mask:
        split = high
    else:
        first = paths[low]
        middle = first[:byte] + bytes([first[byte] & -(mask << 1) & 0xFF | mask])
        split = bisect_left(paths, middle, low, high)
    left = _root(paths, leaves, (low, split), depth + 1)
    return blake2s_256(left + _root(paths, leaves, (split, high), depth + 1))
