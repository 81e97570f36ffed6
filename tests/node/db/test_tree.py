"""The tree over paths that no hash gives, where they share as many bits as they like."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from node.db.prove import prove
from node.db.subtree import leaf_of
from node.db.tree import Layer, StateTree, levels_for
from primitives.hashing import blake2s_256
from primitives.state_proof import EMPTY, bit, leaf_hash

LEVELS = 4
Rows = dict[bytes, bytes]


class Table:
    """Committed rows, and the reader that a tree wants."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def read(self, bucket: int, levels: int) -> list[tuple[bytes, bytes]]:
        chosen = [path for path in self.rows if int.from_bytes(path[:4], "big") >> (32 - levels) == bucket]
        return [(path, self.rows[path]) for path in sorted(chosen)]


def root_of(rows: Mapping[bytes, bytes], depth: int = 0) -> bytes:
    """The definition, once more."""
    if len(rows) < 2:
        return next((leaf_hash(path, blake2s_256(value)) for path, value in rows.items()), EMPTY)
    halves = [{path: rows[path] for path in rows if bit(path, depth) == side} for side in (0, 1)]
    return blake2s_256(root_of(halves[0], depth + 1) + root_of(halves[1], depth + 1))


def paths() -> st.SearchStrategy[bytes]:
    """Few different ones, which part at the first bit, at the bucket, at the last bit, or in between."""
    heads = st.sampled_from([b"\x00", b"\x01", b"\x08", b"\x10", b"\x80", b"\xff"])
    tails = st.sampled_from([b"\x00", b"\x01", b"\x02", b"\x80", b"\xff"])
    middles = st.sampled_from([bytes(30), b"\x00" * 15 + b"\x10" + b"\x00" * 14])
    return st.builds(lambda *parts: b"".join(parts), heads, middles, tails)


VALUES = st.binary(max_size=2)
ROWS = st.dictionaries(paths(), VALUES, max_size=20)
CHANGES = st.dictionaries(paths(), st.one_of(st.none(), VALUES), max_size=12)


def tree_of(rows: Rows) -> StateTree:
    return StateTree.of((leaf_of(path, rows[path]) for path in sorted(rows)), LEVELS)


def lay(tree: StateTree, below: list[Layer], changes: Mapping[bytes, bytes | None], table: Table) -> Layer:
    leaves = [
        (path, None if value is None else leaf_of(path, value)) for path, value in sorted(changes.items())
    ]
    return tree.lay(below, leaves, table.read)


def after(rows: Rows, changes: Mapping[bytes, bytes | None]) -> Rows:
    return {path: value for path, value in {**rows, **changes}.items() if value is not None}


def folded(tree: StateTree, layers: list[Layer], path: bytes, rows: Rows, table: Table) -> bytes:
    """The root to which the proof for `path` leads if it holds what is in `rows`."""
    proof = prove(tree, layers, path, table.read)
    node: bytes = EMPTY
    if path in rows:
        assert proof.other is None
        node = leaf_hash(path, blake2s_256(rows[path]))
    elif proof.other is not None:
        assert proof.other.value_hash == blake2s_256(rows[proof.other.path])
        node = leaf_hash(proof.other.path, proof.other.value_hash)
    siblings = list(proof.siblings)
    for index in reversed(range(proof.depth)):
        sibling = siblings.pop() if bit(proof.bitmap, index) else EMPTY
        node = blake2s_256(sibling + node if bit(path, index) else node + sibling)
    assert not siblings
    return node


@given(ROWS)
def test_the_root_is_that_of_the_definition(rows: Rows) -> None:
    assert tree_of(rows).root == root_of(rows)


@given(ROWS, st.lists(CHANGES, min_size=1, max_size=4), paths())
def test_layers_merges_and_undone_changes_agree_with_the_definition(
    rows: Rows, steps: list[dict[bytes, bytes | None]], path: bytes
) -> None:
    table, tree = Table(rows), tree_of(rows)
    layers: list[Layer] = []
    states = [rows]
    for changes in steps:
        layers.insert(0, lay(tree, layers, changes, table))
        states.append(after(states[-1], changes))
        assert layers[0].root == root_of(states[-1])
        assert folded(tree, layers, path, states[-1], table) == layers[0].root
    for layer, state in zip(reversed(layers), states[1:], strict=True):
        tree.merge(layer)
        table.rows = state
        assert tree.root == root_of(state)
    past: list[Layer] = []
    for state, changes in zip(reversed(states[:-1]), reversed(steps), strict=True):
        undo = {changed: state.get(changed) for changed in changes}
        past.insert(0, lay(tree, past, undo, table))
        assert past[0].root == root_of(state)
        assert folded(tree, past, path, state, table) == root_of(state)


@given(ROWS, CHANGES)
def test_rereading_changed_buckets_brings_a_tree_up_to_date(
    rows: Rows, changes: dict[bytes, bytes | None]
) -> None:
    tree, changed = tree_of(rows), after(rows, changes)
    tree.reread({tree.bucket_of(path) for path in changes}, Table(changed).read)
    assert tree.root == root_of(changed)


def test_a_crowded_bucket_is_read_once() -> None:
    rows = {number.to_bytes(32, "big"): b"value" for number in range(1000)}
    table, tree = Table(rows), tree_of(rows)
    for number in range(3):
        path = number.to_bytes(32, "big")
        tree.merge(lay(tree, [], {path: b"new"}, table))
        rows[path] = b"new"
        expected = root_of(rows)
        table = Table({})
        assert tree.root == expected


def test_levels_follow_the_number_of_entries() -> None:
    assert [levels_for(number) for number in (0, 4096, 1_000_000, 10**9)] == [12, 13, 20, 22]
    assert not StateTree(12).is_crowded(2**14 - 1)
    assert StateTree(12).is_crowded(2**14)
