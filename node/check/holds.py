"""The states that are held for new nodes, and what is left of how this node joined itself."""

from node.check.report import RESYNC, Report
from node.check.rows import decoded
from node.db.leaves import bucket_reader
from node.db.schema import HOLD_LEVELS, JOINED_KEY, Head, Table, number_key, number_of, row_key, row_value
from node.db.store import Transaction
from node.db.subtree import NODE_BYTES, Leaf, leaf_of
from node.db.tree import StateTree
from primitives.block import HEADER
from primitives.state_proof import state_path

_HEIGHT_BYTES = 8


def check_joined(snapshot: Transaction, head: Head, report: Report) -> None:
    """Where the node joined, and whether that came to its end."""
    row = snapshot.get(Table.META, JOINED_KEY)
    if row is not None and (len(row) != _HEIGHT_BYTES or not 0 < number_of(row) <= head.height):
        report.wrong("joined", "it does not say at which of its blocks the node joined", RESYNC)
    elif row is not None:
        report.facts["joined"] = f"by snapshot at block {number_of(row)}, with no blocks from before"
    if snapshot.size(Table.CHUNKS):
        report.wrong(
            "joined", "the database is whole, and has marks of a state that is being fetched", RESYNC
        )


def check_holds(snapshot: Transaction, head: Head, tree: StateTree, report: Report) -> None:
    """Whether every held state, put together from `tree` and what was copied since, has its block's root."""
    holds = [(number_of(key), nodes) for key, nodes in snapshot.rows_from(Table.HOLDS, b"")]
    _check_copies(snapshot, [height for height, _ in holds], report)
    copied: dict[bytes, Leaf | None] = {}
    for height, nodes in reversed(holds):
        copied.update(_copies(snapshot, height))
        header = decoded(HEADER, snapshot.get(Table.BLOCKS, number_key(height)))
        if header is None or height > head.height:
            report.wrong("holds", f"a state is held of block {height}, which is not here", RESYNC)
        elif len(nodes) != NODE_BYTES << HOLD_LEVELS:
            report.wrong("holds", f"the tree of the state that is held of block {height} is damaged", RESYNC)
        elif StateTree.above(nodes, HOLD_LEVELS).root != header.state_root:
            report.wrong("holds", f"the tree that is held of block {height} has another root", RESYNC)
        elif tree.root == head.root:  # else everything would be told twice
            layer = tree.lay((), sorted(copied.items()), bucket_reader(snapshot))
            if layer.root != header.state_root:
                report.wrong("holds", f"the state that is held of block {height} has another root", RESYNC)
    heights = ", ".join(str(height) for height, _ in holds)
    report.facts["holds"] = f"states of blocks {heights} for new nodes" if holds else "none yet"


def _copies(snapshot: Transaction, height: int) -> dict[bytes, Leaf | None]:
    """What was copied for one hold, by path; None for what was not there."""
    prefix, found = number_key(height), dict[bytes, Leaf | None]()
    for key, row in snapshot.rows_from(Table.HELD, prefix):
        if not key.startswith(prefix):
            break
        path = key[_HEIGHT_BYTES:]
        found[path] = leaf_of(path, row_value(row)) if row else None
    return found


def _check_copies(snapshot: Transaction, heights: list[int], report: Report) -> None:
    """Every copy belongs to a hold, or to one that has ended and is being removed, and is of its path."""
    oldest = min(heights, default=0)
    for key, row in snapshot.rows_from(Table.HELD, b""):
        height, path = number_of(key[:_HEIGHT_BYTES]), key[_HEIGHT_BYTES:]
        if not heights or (height >= oldest and height not in heights):
            report.wrong("holds", f"an entry was copied for block {height}, which is not held", RESYNC)
        elif row and state_path(row_key(row)) != path:
            report.wrong("holds", f"a copy for block {height} belongs to another path", RESYNC)
