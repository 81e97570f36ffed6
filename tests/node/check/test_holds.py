"""Databases of nodes that prune, keep all, or serve snapshots; and damage to what they serve.

Blocks of these chains have no real bodies, so that what the check says of them is left out.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from node.check.database import check_database
from node.check.report import Report
from node.db.database import Database, Settings
from node.db.schema import HOLD_LEVELS, JOINED_KEY, Table, number_key, state_row
from node.db.store import Store, Transaction
from primitives.block import block_hash
from tests.node.snapshot.chains import HELD, extend, genesis, grown

ENTRIES = {b"entry %d" % number: b"%d" % number for number in range(40)}
NEXT = 2 * HELD


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a chain with two held states, and changes since each."""
    path = tmp_path_factory.mktemp("holds") / "db"
    database = grown(path, ENTRIES, NEXT)
    extend(database, {b"entry 1": None, b"entry 2": b"other", b"new": b"1"})
    extend(database, {b"entry 1": b"again"})
    assert database.holds.heights() == (HELD, NEXT)
    database.close()
    return path


@pytest.fixture
def held(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "db")
    return tmp_path / "db"


def check(path: Path) -> Report:
    report = Report()
    check_database(path, block_hash(genesis().block.header), report)
    return report


def problems(report: Report) -> list[str]:
    return [f"{found.part}: {found.problem}" for found in report.findings if found.part != "blocks"]


def plant(path: Path, action: Callable[[Transaction], None]) -> None:
    store = Store(path)
    store.write(action)
    store.close()


def test_held_states_are_put_together_and_right(held: Path) -> None:
    report = check(held)
    assert problems(report) == []
    assert report.facts["holds"] == f"states of blocks {HELD}, {NEXT} for new nodes"


@pytest.mark.parametrize("undo_blocks", [32, None])
def test_a_pruned_and_an_archive_node_are_whole(tmp_path: Path, undo_blocks: int | None) -> None:
    database = Database(tmp_path, genesis(), Settings(undo_blocks=undo_blocks))
    for number in range(80):
        extend(database, {b"height": b"%d" % number})
    database.close()
    report = check(tmp_path)
    assert problems(report) == []
    kept = 80 if undo_blocks is None else undo_blocks
    assert report.facts["undo"] == f"the newest {kept} blocks can be undone; 32 of them were tried"


def _change_copy(transaction: Transaction) -> None:
    key, row = next((key, row) for key, row in transaction.rows_from(Table.HELD, b"") if row)
    transaction.put(Table.HELD, key, row + b"\x00")


def _lose_copy(transaction: Transaction) -> None:
    key, _ = next(transaction.rows_from(Table.HELD, number_key(NEXT)))
    transaction.delete(Table.HELD, key)


def _move_copy(transaction: Transaction) -> None:
    transaction.put(Table.HELD, number_key(NEXT) + bytes(32), state_row(b"key", b"value"))


def _stray_copy(transaction: Transaction) -> None:
    transaction.put(Table.HELD, number_key(HELD + 1) + bytes(32), b"")


def _change_nodes(transaction: Transaction) -> None:
    nodes = transaction.get(Table.HOLDS, number_key(HELD))
    assert nodes is not None
    transaction.put(Table.HOLDS, number_key(HELD), bytes(len(nodes)))


def _cut_nodes(transaction: Transaction) -> None:
    transaction.put(Table.HOLDS, number_key(HELD), bytes(1 << HOLD_LEVELS))


def _stray_hold(transaction: Transaction) -> None:
    transaction.put(Table.HOLDS, number_key(NEXT + 100), b"")


def _stray_chunk(transaction: Transaction) -> None:
    transaction.put(Table.CHUNKS, bytes(34), b"\x90")


def _joined_later(transaction: Transaction) -> None:
    transaction.put(Table.META, JOINED_KEY, number_key(NEXT + 100))


PLANTED: list[tuple[Callable[[Transaction], None], str]] = [
    (_change_copy, f"holds: the state that is held of block {HELD} has another root"),
    (_lose_copy, f"holds: the state that is held of block {NEXT} has another root"),
    (_move_copy, f"holds: a copy for block {NEXT} belongs to another path"),
    (_stray_copy, f"holds: an entry was copied for block {HELD + 1}, which is not held"),
    (_change_nodes, f"holds: the tree that is held of block {HELD} has another root"),
    (_cut_nodes, f"holds: the tree of the state that is held of block {HELD} is damaged"),
    (_stray_hold, f"holds: a state is held of block {NEXT + 100}, which is not here"),
    (_stray_chunk, "joined: the database is whole, and has marks of a state that is being fetched"),
    (_joined_later, "joined: it does not say at which of its blocks the node joined"),
]


@pytest.mark.parametrize(("damage", "expected"), PLANTED, ids=[each[0].__name__ for each in PLANTED])
def test_planted_damage_is_found(held: Path, damage: Callable[[Transaction], None], expected: str) -> None:
    plant(held, damage)
    assert expected in problems(check(held))
