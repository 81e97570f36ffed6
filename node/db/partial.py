"""A database that is being fetched from peers: what was verified is kept, and nothing else ever gets in.

It lies beside the place of the node's database and takes that place when it is complete, in one step. A
process that is killed goes on where it was. Whatever is wrong with it, it can be thrown away.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import msgspec

from node.db import checkpoint, flush, holds
from node.db.blocks import BlockReader, decoded
from node.db.database import CHECKPOINT_FILE
from node.db.errors import DatabaseCorrupt
from node.db.leaves import leaves
from node.db.schema import (
    HEAD,
    HEAD_KEY,
    HOLD_LEVELS,
    JOINED_KEY,
    SCHEMA_KEY,
    SCHEMA_ROW,
    Finalized,
    Genesis,
    Table,
    number_key,
    row_key,
    state_row,
)
from node.db.store import Store, Transaction
from node.db.tree import StateTree, levels_for
from primitives.block import HEADER, Header, block_hash
from primitives.codec import Codec, Record
from primitives.committee import Committee
from primitives.finality import EpochProof, Trusted, trust_genesis
from primitives.outcome import BlockOutcome
from primitives.state_proof import state_path
from primitives.state_range import Entry, Part, StateRange
from primitives.types import BlockNumber, Bytes32, EpochIndex, Hash

KEYS_BATCH: Final = 250_000
"""Keys that are sorted in memory at a time: some 30 MB."""


class _Mark(Record, frozen=True):
    """The row of a range that is here."""

    height: BlockNumber
    entries: Annotated[int, msgspec.Meta(ge=0, le=2)]
    node: Hash


_MARK: Final = Codec[_Mark](_Mark)


class Partial:
    """See the module. Each method is a whole piece of work for a worker thread."""

    def __init__(self, path: Path, genesis: Genesis) -> None:
        """Go on with what is in the directory `path`, or begin there. Raises DatabaseError."""
        self._path = path
        self._store = Store(path)
        self.blocks: Final = BlockReader(self._store)
        try:
            if not self._is_of(genesis):
                self._store.write(lambda transaction: _begin(transaction, genesis))
            self.trusted: Trusted = self._find_trusted(genesis.committee)
            """The committee of the first epoch without a proof."""
        except BaseException:
            self._store.close()
            raise

    def close(self) -> None:
        """Release the directory."""
        self._store.close()

    def completed(self) -> BlockNumber | None:
        """The height of its state, if it only has to be put in its place."""
        with self._store.read() as snapshot:
            row = snapshot.get(Table.META, HEAD_KEY)
            return None if row is None else decoded(HEAD, row).height

    def add_epochs(self, proofs: Sequence[EpochProof], trusted: Trusted) -> None:
        """Keep verified epoch proofs, which continue those that are here, and end with `trusted`."""

        def add(transaction: Transaction) -> None:
            for proof in proofs:
                flush.write_header(transaction, proof.header, proof.successor)
                flush.write_certificate(transaction, proof.header.height, proof.certificate)

        self._store.write(add)
        self.trusted = trusted

    def marks(self) -> list[tuple[StateRange, BlockNumber, Part]]:
        """The ranges that are here, of which height, and what they are to the tree."""
        with self._store.read() as snapshot:
            rows = [(key, decoded(_MARK, row)) for key, row in snapshot.rows_from(Table.CHUNKS, b"")]
        return [(_range_of(key), mark.height, Part(mark.entries, mark.node)) for key, mark in rows]

    def put(
        self,
        asked: StateRange,
        found: tuple[StateRange, BlockNumber, Part],
        entries: Sequence[Entry] | None,
    ) -> None:
        """Keep what was verified of the range `asked`; None: the entries that are here are still right."""
        range_, height, part = found
        rows = None
        if entries is not None:
            rows = [(state_path(key), state_row(key, value)) for key, value in entries]

        def put(transaction: Transaction) -> None:
            if rows is not None:
                _remove(transaction, Table.STATE, range_.start, range_.last)
                transaction.cursor(Table.STATE).putmulti(rows)
            _remove(transaction, Table.CHUNKS, asked.start, asked.last + b"\xff\xff")
            mark = _MARK.encode(_Mark(height, part.entries, part.node))
            transaction.put(Table.CHUNKS, _range_key(range_), mark)

        self._store.write(put)

    def finish(self, height: BlockNumber) -> None:
        """Make it the database of a node that stands after the block at `height`, whose state is complete.

        Raises DatabaseCorrupt if the state does not have the root of that block after all.
        """
        header = self.blocks.header(height)
        assert header is not None
        self._write_keys()
        with self._store.read() as snapshot:
            tree = StateTree.of(leaves(snapshot), levels_for(snapshot.size(Table.STATE)))
        if tree.root != header.state_root:
            raise DatabaseCorrupt(f"the state in {self._path} is not that of block {height}")
        self._store.write(lambda transaction: _complete(transaction, header, tree))
        with suppress(OSError):  # a checkpoint only saves time
            checkpoint.save(self._path / CHECKPOINT_FILE, checkpoint.Checkpoint(height, tree))

    def _is_of(self, genesis: Genesis) -> bool:
        """Whether there is something here; raises DatabaseCorrupt if it is of no use."""
        with self._store.read() as snapshot:
            version = snapshot.get(Table.META, SCHEMA_KEY)
        if version is None:
            return False
        if version != SCHEMA_ROW or self.blocks.hash_at(BlockNumber(0)) != block_hash(genesis.block.header):
            raise DatabaseCorrupt(f"what is in {self._path} is of another chain or release")
        return True

    def _find_trusted(self, first: Committee) -> Trusted:
        ends = self.blocks.ends(1)
        if not ends:
            header = self.blocks.header(BlockNumber(0))
            assert header is not None
            return trust_genesis(header, first)
        header = self.blocks.header(ends[-1])
        assert header is not None
        end = self.blocks.epoch_end(EpochIndex(header.epoch))
        assert end is not None
        return Trusted(block_hash(header), end.next_committee)

    def _write_keys(self) -> None:
        """The keys of all entries in their own order, some at a time, so that memory is bounded."""
        self._store.write(lambda transaction: transaction.clear(Table.KEYS))
        begin = b""
        while True:
            with self._store.read() as snapshot:
                rows = islice(snapshot.rows_from(Table.STATE, begin), KEYS_BATCH)
                batch = [(path, row_key(row)) for path, row in rows]
            if not batch:
                return
            begin = batch[-1][0] + b"\x00"
            self._store.write(partial(_put_keys, sorted(key for _, key in batch)))


def open_partial(path: Path, genesis: Genesis) -> Partial:
    """What is in the directory `path`, or a new beginning if that is of no use. Raises DatabaseError."""
    try:
        return Partial(path, genesis)
    except DatabaseCorrupt:
        discard(path)
        return Partial(path, genesis)


def discard(path: Path) -> None:
    """Throw away what was fetched."""
    shutil.rmtree(path, ignore_errors=True)


def adopt(path: Path, place: Path) -> None:
    """Put a complete and closed database in its place; a crash leaves it here or there. Raises OSError."""
    path.replace(place)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _begin(transaction: Transaction, genesis: Genesis) -> None:
    flush.write_history(transaction, Finalized(genesis.block, BlockOutcome((), ()), genesis.committee))
    transaction.put(Table.META, SCHEMA_KEY, SCHEMA_ROW)


def _complete(transaction: Transaction, header: Header, tree: StateTree) -> None:
    """The state is that of `header`; others may fetch it in turn."""
    for row, data in list(transaction.rows_from(Table.BLOCKS, number_key(header.height + 1))):
        later = decoded(HEADER, data)  # the node gets there by itself
        transaction.delete(Table.BLOCKS, row)
        transaction.delete(Table.HEIGHTS, block_hash(later))
        transaction.delete(Table.CERTIFICATES, row)
        transaction.delete(Table.EPOCHS, number_key(later.epoch))
    transaction.clear(Table.CHUNKS)
    holds.begin(transaction, header.height, tree.across(HOLD_LEVELS, ()))
    transaction.put(Table.META, JOINED_KEY, number_key(header.height))
    flush.write_head(transaction, header)


def _put_keys(keys: Sequence[bytes], transaction: Transaction) -> None:
    transaction.cursor(Table.KEYS).putmulti((key, b"") for key in keys)


def _range_key(range_: StateRange) -> bytes:
    return range_.start + range_.depth.to_bytes(2, "big")


def _range_of(key: bytes) -> StateRange:
    return StateRange(Bytes32(key[:32]), int.from_bytes(key[32:], "big"))


def _remove(transaction: Transaction, table: Table, first: bytes, last: bytes) -> None:
    """Remove the rows from `first` to `last`."""
    cursor = transaction.cursor(table)
    found = cursor.set_range(first)
    while found and cursor.key() <= last:
        cursor.delete()
        found = bool(cursor.key())
