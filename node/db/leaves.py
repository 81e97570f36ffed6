"""The leaves of the state tree, as the table of the state has them."""

from collections.abc import Iterator

from node.db.overlay import Change
from node.db.schema import Table, row_value
from node.db.store import Transaction
from node.db.subtree import Leaf, LeafChange, leaf_of
from node.db.tree import BucketReader


def leaves(snapshot: Transaction) -> Iterator[Leaf]:
    """Every committed leaf, ascending by path."""
    return (leaf_of(path, row_value(row)) for path, row in snapshot.rows_from(Table.STATE, b""))


def leaf_change(change: Change) -> LeafChange:
    """What a changed entry does to the tree."""
    return change.path, None if change.value is None else leaf_of(change.path, change.value)


def bucket_reader(snapshot: Transaction) -> BucketReader:
    """Reads buckets in one snapshot."""

    cursor = snapshot.cursor(Table.STATE)

    def read(bucket: int, levels: int) -> list[tuple[bytes, bytes]]:
        shift = 32 - levels
        last = (((bucket + 1) << shift) - 1).to_bytes(4, "big")
        rows: list[tuple[bytes, bytes]] = []
        if cursor.set_range((bucket << shift).to_bytes(4, "big")):
            for path, row in cursor.iternext():
                if path[:4] > last:
                    break
                rows.append((path, row_value(row)))
        return rows

    return read
