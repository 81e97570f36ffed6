"""The state after the newest block: whether its root is right, and older states can be made from it."""

from pathlib import Path
from typing import Final

from node.check.report import RESYNC, Report
from node.check.rows import decoded, joined_height
from node.db import checkpoint
from node.db.database import PROVABLE_HEIGHTS
from node.db.leaves import bucket_reader, leaf_change, leaves
from node.db.overlay import placed
from node.db.schema import CHANGES, Head, Table, number_key, number_of, row_key
from node.db.store import Transaction
from node.db.tree import Layer, StateTree, levels_for
from primitives.block import HEADER
from primitives.state_proof import state_path
from primitives.types import Hash

_PROGRESS_ROWS: Final = 4096


def check_state(snapshot: Transaction, head: Head, report: Report) -> StateTree:
    """Every entry; returns the tree over them."""
    entries = snapshot.size(Table.STATE)
    for count, (path, row) in enumerate(snapshot.rows_from(Table.STATE, b"")):
        key = row_key(row)
        if state_path(key) != path:
            report.wrong("state", f"the entry at {path.hex()[:16]} belongs to another path", RESYNC)
        elif snapshot.get(Table.KEYS, key) is None:
            report.wrong("state", f"key {key.hex()[:32]} is missing in the list of keys", RESYNC)
        if count % _PROGRESS_ROWS == 0:
            report.progress("state", count, 2 * entries)
    if snapshot.size(Table.KEYS) > entries:
        report.wrong("state", "the list of keys has some that are not in the state", RESYNC)
    report.progress("state", entries, 2 * entries)
    tree = StateTree.of(leaves(snapshot), levels_for(entries))
    if tree.root != head.root:
        problem = (
            f"the entries have root {tree.root.hex()[:16]}, block {head.height} says {head.root.hex()[:16]}"
        )
        report.wrong("state", problem, RESYNC)
    report.facts["state"] = f"{entries} entries, root {tree.root.hex()}"
    return tree


def check_undo(snapshot: Transaction, head: Head, tree: StateTree, report: Report) -> None:
    """What undoes the newest blocks: without gaps, and the newest of them give the roots of their parents."""
    rows = [number_of(key) for key, _ in snapshot.rows_from(Table.UNDO, b"")]
    expected = list(range(head.height - len(rows) + 1, head.height + 1))
    if rows != expected or len(rows) < min(head.height - joined_height(snapshot), PROVABLE_HEIGHTS):
        report.wrong("undo", "blocks cannot be undone without a gap", RESYNC)
        return
    layers: list[Layer] = []
    for height in reversed(rows):
        changes = decoded(CHANGES, snapshot.get(Table.UNDO, number_key(height)))
        if changes is None:
            report.wrong("undo", f"what undoes block {height} is damaged", RESYNC)
            return
        if len(layers) < PROVABLE_HEIGHTS:
            undone = map(leaf_change, placed(changes))
            layers.insert(0, tree.lay(layers, undone, bucket_reader(snapshot)))
            if layers[0].root != _root_of(snapshot, height - 1):
                report.wrong("undo", f"undoing block {height} does not give the state before it", RESYNC)
                return
    report.facts["undo"] = f"the newest {len(rows)} blocks can be undone; {len(layers)} of them were tried"


def check_checkpoint(path: Path, head: Head, tree: StateTree, report: Report) -> None:
    """The file that makes a start fast; it can always be made again."""
    saved = checkpoint.load(path)
    if saved is None:
        report.facts["checkpoint"] = "none that can be used: the next start reads the whole state"
    elif saved.height == head.height and saved.tree.root != tree.root:
        report.wrong("checkpoint", "it has another root than the state", f"remove {path}")
    else:
        report.facts["checkpoint"] = f"at height {saved.height}"


def _root_of(snapshot: Transaction, height: int) -> Hash | None:
    header = decoded(HEADER, snapshot.get(Table.BLOCKS, number_key(height)))
    return None if header is None else header.state_root
