"""The tree over the state: the top levels in memory, what is below a bucket read from the table when needed.

A block that is not final has a layer of changed nodes, which is merged when it becomes final and forgotten
when it does not. Layers lie on each other: the first that knows a node has it, else the committed tree. An
older root is shown by layers too, of what newer blocks replaced.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from mmap import MAP_PRIVATE, mmap
from typing import Final

from node.db.subtree import (
    NODE_BYTES,
    VOID,
    Inner,
    Leaf,
    LeafChange,
    Node,
    Subtree,
    build,
    leaf_of,
    node_above,
    node_of,
    present,
    update,
)
from primitives.types import Hash

LEVELS_MIN: Final = 12
"""270 kB, for a state of up to some ten thousand entries."""

LEVELS_MAX: Final = 22
"""277 MB, for ten million entries and more."""

CACHED_LEAVES_MIN: Final = 64
"""A bucket with more leaves stays in memory: keys can be ground to crowd one, and it is slow to read."""

_ROOT: Final = 1
"""Nodes are numbered from the top: below node i are 2i and 2i + 1."""

Slab = mmap
"""Nodes one after the other, in memory like any other; its slices are bytes, those of a bytearray are not."""

BucketReader = Callable[[int, int], list[tuple[bytes, bytes]]]
"""(bucket, levels) -> the committed (path, value) whose paths begin with these `levels` bits, ascending."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The part of a tree that differs from the tree below it."""

    nodes: Mapping[int, Node]
    """By number; down to the buckets."""

    buckets: Mapping[int, Subtree]
    root: Hash


def levels_for(entries: int) -> int:
    """How many levels to keep in memory: about one entry for each bucket."""
    return min(max(entries.bit_length(), LEVELS_MIN), LEVELS_MAX)


def empty_slab(levels: int) -> Slab:
    """Room for a tree without leaves."""
    return mmap(-1, NODE_BYTES << (levels + 1), flags=MAP_PRIVATE)


class StateTree:
    """The committed tree, and what layers make of it. Not thread-safe: its owner serialises all calls."""

    def __init__(self, levels: int, slab: Slab | None = None) -> None:
        """An empty tree, or one with the nodes of `slab` (33 bytes each, node 0 unused)."""
        self.levels = levels
        self.slab = empty_slab(levels) if slab is None else slab
        assert len(self.slab) == NODE_BYTES << (levels + 1)
        self._cached: dict[int, Inner] = {}

    @classmethod
    def of(cls, leaves: Iterable[Leaf], levels: int) -> "StateTree":
        """The tree of all `leaves`, ascending by path."""
        tree = cls(levels)
        buckets = groupby(leaves, key=lambda leaf: tree.bucket_of(leaf.path))
        tree._set(((1 << levels) + bucket, node_of(build(list(group), levels))) for bucket, group in buckets)
        tree._fill_up()
        return tree

    @classmethod
    def above(cls, nodes: bytes, levels: int) -> "StateTree":
        """The tree over `nodes`, as `across` gave them at this depth."""
        tree = cls(levels)
        tree.slab[NODE_BYTES << levels :] = nodes
        tree._fill_up()
        return tree

    @property
    def root(self) -> Hash:
        """The committed root."""
        return _hash(self._node(_ROOT, ()))

    def is_crowded(self, entries: int) -> bool:
        """Whether the tree should be built again with more levels."""
        return levels_for(entries) > self.levels + 2

    def bucket_of(self, path: bytes) -> int:
        """The bucket under which `path` is."""
        return int.from_bytes(path[:4], "big") >> (32 - self.levels)

    def lay(self, below: Sequence[Layer], changes: Iterable[LeafChange], read: BucketReader) -> Layer:
        """The layer that `changes`, ascending by path, make on top of the layers `below`, newest first."""
        buckets = {
            bucket: self._updated(bucket, list(group), below, read)
            for bucket, group in groupby(changes, key=lambda change: self.bucket_of(change[0]))
        }
        nodes = self._ways_up({bucket: node_of(subtree) for bucket, subtree in buckets.items()}, below)
        root = nodes[_ROOT] if nodes else self._node(_ROOT, below)
        return Layer(nodes, buckets, _hash(root))

    def reread(self, buckets: Iterable[int], read: BucketReader) -> None:
        """Bring the tree up to date with the table, in which only these buckets differ from it."""
        changed = {bucket: node_of(self.subtree(bucket, (), read)) for bucket in sorted(buckets)}
        self._set(self._ways_up(changed, ()).items())

    def merge(self, layer: Layer) -> None:
        """Make the tree what it is with `layer`, which was laid on it."""
        self._set(layer.nodes.items())
        for bucket in self._cached.keys() & layer.buckets.keys():
            subtree = layer.buckets[bucket]
            if isinstance(subtree, Inner):
                self._cached[bucket] = subtree
            else:
                del self._cached[bucket]

    def node_at(self, path: bytes, depth: int, layers: Sequence[Layer], beside: bool = False) -> Node:
        """The node at the first `depth` bits of `path` (at most `levels`), or the one beside it."""
        index = ((1 << self.levels) + self.bucket_of(path)) >> (self.levels - depth)
        return self._node(index ^ beside, layers)

    def across(self, depth: int, layers: Sequence[Layer]) -> bytes:
        """All nodes at `depth` (at most `levels`), from the left, one after the other."""
        return b"".join(self._node(index, layers) for index in range(1 << depth, 2 << depth))

    def lone_leaf(self, path: bytes, depth: int, layers: Sequence[Layer], read: BucketReader) -> Leaf:
        """The only leaf below the first `depth` bits of `path`, where there is exactly one."""
        index = ((1 << self.levels) + self.bucket_of(path)) >> (self.levels - depth)
        while index >> self.levels == 0:
            index = 2 * index + (self._node(2 * index, layers) == VOID)
        subtree = self.subtree(index - (1 << self.levels), layers, read)
        assert isinstance(subtree, Leaf)
        return subtree

    def subtree(self, bucket: int, layers: Sequence[Layer], read: BucketReader) -> Subtree:
        """What is in `bucket`."""
        return self._updated(bucket, (), layers, read)

    def _updated(
        self, bucket: int, changes: Sequence[LeafChange], layers: Sequence[Layer], read: BucketReader
    ) -> Subtree:
        """What is in `bucket` after `changes`, ascending by path."""
        for layer in layers:
            if bucket in layer.buckets:
                return update(layer.buckets[bucket], changes, self.levels)
        if bucket in self._cached:
            return update(self._cached[bucket], changes, self.levels)
        rows = read(bucket, self.levels)
        if len(rows) > CACHED_LEAVES_MIN:
            subtree = build([leaf_of(path, value) for path, value in rows], self.levels)
            assert isinstance(subtree, Inner)
            self._cached[bucket] = subtree
            return update(subtree, changes, self.levels)
        leaves = dict(changes)
        for path, value in rows:
            if path not in leaves:
                leaves[path] = leaf_of(path, value)
        return build(present(leaves), self.levels)

    def _ways_up(self, buckets: Mapping[int, Node], layers: Sequence[Layer]) -> dict[int, Node]:
        """These buckets, and all nodes above them, on top of `layers`."""
        level = {(1 << self.levels) + bucket: node for bucket, node in buckets.items()}
        nodes = dict(level)
        for _ in range(self.levels):
            above: dict[int, Node] = {}
            for index, node in level.items():
                beside = level.get(index ^ 1)
                if beside is None:
                    beside = self._node(index ^ 1, layers)
                elif index & 1:
                    continue
                above[index >> 1] = node_above(beside, node) if index & 1 else node_above(node, beside)
            nodes.update(above)
            level = above
        return nodes

    def _fill_up(self) -> None:
        """Make every node above the buckets."""
        self._set(
            (index, node_above(self._node(2 * index, ()), self._node(2 * index + 1, ())))
            for index in range((1 << self.levels) - 1, 0, -1)
        )

    def _node(self, index: int, layers: Sequence[Layer]) -> Node:
        for layer in layers:
            node = layer.nodes.get(index)
            if node is not None:
                return node
        return self.slab[NODE_BYTES * index : NODE_BYTES * (index + 1)]

    def _set(self, nodes: Iterable[tuple[int, Node]]) -> None:
        slab = self.slab
        for index, node in nodes:
            slab[NODE_BYTES * index : NODE_BYTES * (index + 1)] = node


def _hash(node: Node) -> Hash:
    return Hash(node[:-1])
