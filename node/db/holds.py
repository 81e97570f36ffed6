"""States that are kept whole for a while, so that new nodes can fetch them in parts while the chain goes on.

A hold begins at the last block of an epoch. From then on the first change of an entry copies what the entry
was, so that a hold costs no more than the entries that changed since, takes no transaction that stays open,
and cannot be outrun by a busy chain. Older holds see the copies of newer ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from threading import Lock
from typing import Final

from msgspec import Struct

from node.db.errors import UnknownState
from node.db.overlay import Change
from node.db.prove import proof_of
from node.db.schema import HOLD_LEVELS, Table, number_key, number_of, row_key, row_value
from node.db.store import Store, Transaction
from node.db.subtree import VOID, Inner, Leaf, Node, Subtree, build, is_leaf, leaf_of, node_of
from node.db.tree import StateTree
from primitives.committee import Committee
from primitives.state_proof import OtherLeaf, StateProof, bit, shared_bits
from primitives.state_range import Entry, StateRange
from primitives.types import BlockNumber, Bytes32

HOLD_INTERVAL: Final = 64
"""The first end of an epoch at or after each multiple of this is held: every node holds the same states."""

HOLD_BLOCKS: Final = 512
"""A hold ends when it is this old, but the newest two stay: four minutes at two blocks a second, more where
blocks are slower; a million entries are fetched in one."""

HOLDS_KEPT: Final = 2

READ_BYTES_MAX: Final = 8 << 20
"""Most that is read for one part: what was added since a hold began has to be passed over."""

RELEASED_MAX: Final = 8_192
"""Copies of holds that have ended that a commit removes beyond as many as it may have added itself."""


class HeldPart(Struct, frozen=True):
    """What a range of a held state has, or as much of its beginning as was asked for."""

    range_: StateRange
    entries: tuple[Entry, ...] | None
    """None if the asker has them already."""

    proof: StateProof
    read_bytes: int
    """What had to be read for it: at least what is in it."""


def is_due(end: BlockNumber, following: Committee) -> bool:
    """Whether the state after the last block of an epoch is held; `following`: the next committee."""
    length = following.last_height - following.first_height + 1
    return end // HOLD_INTERVAL > (end - length) // HOLD_INTERVAL


def begin(transaction: Transaction, height: int, nodes: bytes) -> None:
    """Hold the state as it is in `transaction`; `nodes`: of its tree, at HOLD_LEVELS."""
    transaction.put(Table.HOLDS, number_key(height), nodes)


def copy(transaction: Transaction, changes: Sequence[Change], old: Mapping[bytes, bytes]) -> None:
    """Keep for the newest hold what `changes`, ascending by path, are about to replace."""
    newest = transaction.cursor(Table.HOLDS)
    if newest.last():
        prefix = newest.key()
        rows = ((prefix + change.path, old.get(change.path, b"")) for change in changes)
        transaction.cursor(Table.HELD).putmulti(rows, overwrite=False)


def release(transaction: Transaction, head: BlockNumber, changed: int) -> None:
    """End the holds that are too old, and remove some of what they leave behind.

    `changed`: how many changes the commit makes. More than those are removed, so that what is left behind
    comes to an end however large the commits are, as those of a node that replays a busy chain.
    """
    heights = _heights(transaction)
    ended = [height for height in heights[:-HOLDS_KEPT] if head - height > HOLD_BLOCKS]
    for height in ended:
        transaction.delete(Table.HOLDS, number_key(height))
    oldest = next((height for height in heights if height not in ended), None)
    if oldest is None:
        return
    cursor, first = transaction.cursor(Table.HELD), number_key(oldest)
    found = cursor.first()
    for _ in range(RELEASED_MAX + changed):
        if not found or cursor.key() >= first:
            return
        cursor.delete()
        found = bool(cursor.key())


class HoldReader:
    """Reads held states; each call is one short transaction."""

    def __init__(self, store: Store) -> None:
        """Reads from `store` until that is closed."""
        self._store = store
        self._lock = Lock()
        self._trees: dict[BlockNumber, StateTree] = {}

    def heights(self) -> tuple[BlockNumber, ...]:
        """Of the held states, ascending."""
        with self._store.read() as snapshot:
            return _heights(snapshot)

    def part(
        self, height: BlockNumber, range_: StateRange, size_max: tuple[int, int], known: bytes | None = None
    ) -> HeldPart:
        """The entries of `range_` after the block at `height`, or of the largest range at its beginning that
        fits: `size_max` is a number of bytes and one of entries. A single entry always fits.

        Without entries if the subtree of `range_` has the root `known`. Raises UnknownState.
        """
        with self._store.read() as snapshot:
            held = _Held(snapshot, height, self._tree(snapshot, height))
            if known is not None:
                proof, node = held.prove(range_)
                if node[:-1] == known:
                    return HeldPart(range_, None, proof, held.read_bytes)
            range_, entries = held.fit(range_, *size_max)
            proof, _ = held.prove(range_)
            return HeldPart(range_, entries, proof, held.read_bytes)

    def _tree(self, snapshot: Transaction, height: BlockNumber) -> StateTree:
        """The top of the tree of a held state. Raises UnknownState."""
        nodes = snapshot.get(Table.HOLDS, number_key(height))
        if nodes is None:
            raise UnknownState(f"the state of block {height} is not held")
        with self._lock:
            if height not in self._trees:
                kept = _heights(snapshot)
                self._trees = {each: tree for each, tree in self._trees.items() if each in kept}
                self._trees[height] = StateTree.above(nodes, HOLD_LEVELS)
            return self._trees[height]


class _Held:
    """One held state in one snapshot."""

    def __init__(self, snapshot: Transaction, height: BlockNumber, tree: StateTree) -> None:
        self._snapshot = snapshot
        self._tree = tree
        self._layers = [each for each in _heights(snapshot) if each >= height]
        self.read_bytes = 0

    def fit(
        self, range_: StateRange, bytes_max: int, entries_max: int
    ) -> tuple[StateRange, tuple[Entry, ...]]:
        """The largest range at the beginning of `range_` that fits, and its entries."""
        found: list[tuple[bytes, Entry]] = []
        size, begun = 0, self.read_bytes
        for path, row in self._rows(range_):
            size += len(row)
            is_full = found and (size > bytes_max or len(found) == entries_max)
            if is_full or (self.read_bytes - begun > READ_BYTES_MAX and path > range_.start):
                range_ = range_.first_part(shared_bits(path, range_.start) + 1)
                break
            if row:
                found.append((path, (row_key(row), row_value(row))))
        last = range_.last
        return range_, tuple(entry for path, entry in found if path <= last)

    def prove(self, range_: StateRange) -> tuple[StateProof, Node]:
        """The way to `range_`, and the root of its subtree."""
        tree, beside = self._tree, list[Node]()
        node = tree.node_at(range_.start, 0, ())
        while len(beside) < min(range_.depth, tree.levels) and node != VOID and not is_leaf(node):
            depth = len(beside) + 1
            beside.append(tree.node_at(range_.start, depth, (), beside=True))
            node = tree.node_at(range_.start, depth, ())
        if node == VOID or (len(beside) == range_.depth and not is_leaf(node)):
            return proof_of(beside, None), node
        end = self._subtree(StateRange.around(range_.start, len(beside)))
        while isinstance(end, Inner) and len(beside) < range_.depth:
            on_right = bit(range_.start, len(beside))
            beside.append(node_of(end.left if on_right else end.right))
            end = end.right if on_right else end.left
        if isinstance(end, Leaf) and not range_.contains(end.path):
            return proof_of(beside, OtherLeaf(Bytes32(end.path), Bytes32(end.value_hash))), VOID
        return proof_of(beside, None), node_of(end)

    def _subtree(self, range_: StateRange) -> Subtree:
        """The whole subtree of a range: a lone leaf, or one at the depth to which the tree is in memory."""
        leaves = [leaf_of(path, row_value(row)) for path, row in self._rows(range_) if row]
        return build(leaves, range_.depth)

    def _rows(self, range_: StateRange) -> Iterator[tuple[bytes, bytes]]:
        """The rows of `range_`, ascending by path; b"" for what is there only now."""
        copies = [self._copied(order, layer, range_) for order, layer in enumerate(self._layers)]
        before = b""
        for path, _, row in merge(*copies, self._committed(len(copies), range_)):
            self.read_bytes += len(path) + len(row)
            if path != before:
                yield path, row
            before = path

    def _copied(self, order: int, layer: int, range_: StateRange) -> Iterator[tuple[bytes, int, bytes]]:
        prefix = number_key(layer)
        last = prefix + range_.last
        for key, row in self._snapshot.rows_from(Table.HELD, prefix + range_.start):
            if key > last:
                return
            yield key[len(prefix) :], order, row

    def _committed(self, order: int, range_: StateRange) -> Iterator[tuple[bytes, int, bytes]]:
        last = range_.last
        for path, row in self._snapshot.rows_from(Table.STATE, range_.start):
            if path > last:
                return
            yield path, order, row


def _heights(snapshot: Transaction) -> tuple[BlockNumber, ...]:
    cursor = snapshot.cursor(Table.HOLDS)
    return tuple(BlockNumber(number_of(key)) for key in cursor.iternext(keys=True, values=False))
