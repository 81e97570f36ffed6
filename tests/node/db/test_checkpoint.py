from collections.abc import Callable
from pathlib import Path

import pytest

from node.db import checkpoint
from node.db.checkpoint import Checkpoint
from node.db.database import CHECKPOINT_BLOCKS, Settings
from node.db.schema import Head
from node.db.subtree import leaf_of
from node.db.tree import StateTree
from primitives.state_root import state_root
from tests.node.db.chain import entries_of, extend, opened

TREE = StateTree.of([leaf_of(bytes([number]) * 32, b"value") for number in range(100)], 12)


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "file", Checkpoint(7, TREE))
    found = checkpoint.load(tmp_path / "file")
    assert found is not None
    assert (found.height, found.tree.levels, found.tree.slab[:]) == (7, 12, TREE.slab[:])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: data[:-1],
        lambda data: data + b"!",
        lambda data: b"?" + data[1:],
        lambda data: data[:27] + b"\xff" + data[28:],
        lambda data: data[:1000] + b"torn" + data[1004:],
    ],
)
def test_a_damaged_checkpoint_is_none(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    checkpoint.save(tmp_path / "file", Checkpoint(7, TREE))
    (tmp_path / "file").write_bytes(damage((tmp_path / "file").read_bytes()))
    assert checkpoint.load(tmp_path / "file") is None


def test_a_missing_checkpoint_is_none(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "file") is None


def assert_tree_is_right(path: Path) -> Head:
    """After a start, a new block has the root that the definition gives it."""
    database = opened(path)
    changes = ((b"after", b"1"),)
    root = database.root_after(database.finalized().block, changes)
    assert root == state_root((entries_of(database) | dict(changes)).items())
    head = database.finalized()
    database.close()
    return head


def test_an_old_checkpoint_is_rolled_forward(tmp_path: Path) -> None:
    database = opened(tmp_path)
    extend(database, {b"one": b"2"})
    database.close()
    old = (tmp_path / "tree.checkpoint").read_bytes()
    database = opened(tmp_path)
    for number in range(5):
        extend(database, {b"one": None if number == 3 else bytes([number]), bytes([number + 1]): b"new"})
    head, entries = database.finalized(), entries_of(database)
    database.close()
    (tmp_path / "tree.checkpoint").write_bytes(old)
    assert assert_tree_is_right(tmp_path) == head
    again = opened(tmp_path)
    assert entries_of(again) == entries
    again.close()


def test_a_checkpoint_older_than_the_undo_rows_is_not_used(tmp_path: Path) -> None:
    opened(tmp_path).close()
    old = (tmp_path / "tree.checkpoint").read_bytes()
    database = opened(tmp_path, Settings(undo_blocks=32))
    for number in range(40):
        extend(database, {b"one": bytes([number])})
    head = database.finalized()
    database.close()
    (tmp_path / "tree.checkpoint").write_bytes(old)
    assert assert_tree_is_right(tmp_path) == head


def test_a_checkpoint_from_the_future_or_another_chain_is_not_used(tmp_path: Path) -> None:
    opened(tmp_path).close()
    for height in (0, 9):
        checkpoint.save(tmp_path / "tree.checkpoint", Checkpoint(height, TREE))
        assert_tree_is_right(tmp_path)


def test_a_checkpoint_is_written_now_and_then(tmp_path: Path) -> None:
    database = opened(tmp_path)
    written = checkpoint.load(tmp_path / "tree.checkpoint")
    assert written is not None
    assert written.height == 0
    for number in range(CHECKPOINT_BLOCKS):
        extend(database, {b"one": bytes([number])})
    written = checkpoint.load(tmp_path / "tree.checkpoint")
    assert written is not None
    assert written.height == CHECKPOINT_BLOCKS
    database.close()
