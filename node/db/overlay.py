"""Blocks that are not final, as changes on top of the committed state, and the state seen through them."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import pairwise
from operator import attrgetter, itemgetter

from msgspec import Struct

from frame.state import Changes
from node.db.schema import Table, row_value
from node.db.store import Transaction
from node.db.tree import Layer
from primitives.state_proof import state_path
from primitives.types import STORAGE_KEY_BYTES_MAX, BlockHash


class Change(Struct, frozen=True, gc=False):
    """One changed key and where it is in the tree."""

    path: bytes
    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Overlay:
    """What one block changes."""

    parent: BlockHash
    changes: Changes
    """Ascending by key."""

    placed: Sequence[Change]
    """Ascending by path, as table and tree are written."""

    values: Mapping[bytes, bytes | None]
    layer: Layer

    def under(self, prefix: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """The changes of keys that begin with `prefix`."""
        for index in range(bisect_left(self.changes, prefix, key=itemgetter(0)), len(self.changes)):
            if not self.changes[index][0].startswith(prefix):
                return
            yield self.changes[index]


class OverlaidState:
    """The committed state of one snapshot under some overlays. Usable only while the snapshot is open."""

    def __init__(self, snapshot: Transaction, overlays: Sequence[Overlay]) -> None:
        """`overlays`: newest first, the last one on the committed block."""
        self._snapshot = snapshot
        self._overlays = overlays

    def get(self, key: bytes) -> bytes | None:
        """The value at `key`; None if there is none."""
        for overlay in self._overlays:
            if key in overlay.values:
                return overlay.values[key]
        return committed_value(self._snapshot, key)

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The entries whose keys begin with `prefix`, ascending by key."""
        changed: dict[bytes, bytes | None] = {}
        for overlay in reversed(self._overlays):
            changed.update(overlay.under(prefix))
        committed = ((key, value) for key, value in self._committed(prefix) if key not in changed)
        written = ((key, value) for key, value in sorted(changed.items()) if value is not None)
        return merge(committed, written)

    def _committed(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key, _ in self._snapshot.rows_from(Table.KEYS, prefix):
            if not key.startswith(prefix):
                return
            value = committed_value(self._snapshot, key)
            assert value is not None
            yield key, value


def committed_value(snapshot: Transaction, key: bytes) -> bytes | None:
    """The value at `key` in the tables alone."""
    row = snapshot.get(Table.STATE, state_path(key))
    return None if row is None else row_value(row)


def placed(changes: Changes) -> list[Change]:
    """`changes` in the order of the tree; they must ascend by key."""
    keys = [key for key, _ in changes]
    assert all(first < second for first, second in pairwise(keys))
    assert all(0 < len(key) <= STORAGE_KEY_BYTES_MAX for key in keys)
    return sorted([Change(state_path(key), key, value) for key, value in changes], key=attrgetter("path"))
