"""Chains with real certificates and any state, for tests of joining."""

from collections.abc import Mapping
from pathlib import Path

from node.db.database import Database
from node.db.holds import HOLD_INTERVAL
from node.db.schema import Finalized, Genesis
from primitives.block import GENESIS_PARENT, Block, Body, block_hash
from primitives.outcome import BlockOutcome
from primitives.state_root import state_root
from primitives.types import BlockHash, BlockNumber, EpochIndex
from tests.primitives.chains import EPOCH_BLOCKS, committee, finalize, header

HELD = BlockNumber(HOLD_INTERVAL)
"""Where the first state is held."""

FIRST = {b"first %d" % number: b"%d" % number for number in range(3)}


def genesis(entries: Mapping[bytes, bytes] | None = None) -> Genesis:
    state = FIRST if entries is None else entries
    first = header(0, GENESIS_PARENT, state_root(state.items()))
    return Genesis(Block(first, Body((), ())), lambda: tuple(sorted(state.items())), committee(1))


def extend(database: Database, entries: Mapping[bytes, bytes | None]) -> None:
    """One more finalized block."""
    head = database.finalized()
    changes = tuple(sorted(entries.items()))
    root = database.root_after(head.block, changes)
    block = Block(header(head.height + 1, head.block, root), Body((), ()))
    database.lay(block_hash(block.header), head.block, changes)
    following = committee(block.header.epoch + 1) if block.header.next_set is not None else None
    certificate = finalize(block.header, anchor(database, block.header.epoch))
    database.commit([Finalized(block, BlockOutcome((), ()), following)], certificate)


def anchor(database: Database, epoch: int) -> BlockHash:
    found = database.blocks.hash_at(BlockNumber((epoch - 1) * EPOCH_BLOCKS))
    assert found is not None
    return found


def grown(path: Path, entries: Mapping[bytes, bytes], height: int = HELD) -> Database:
    """A chain of some height, with these entries since its first block."""
    database = Database(path, genesis())
    extend(database, entries)
    for number in range(2, height + 1):
        extend(database, {b"height": b"%d" % number})
    return database


def entries_of(database: Database) -> dict[bytes, bytes]:
    with database.view() as state:
        return dict(state.iterate(b""))


def epoch_of(height: int) -> EpochIndex:
    return EpochIndex((height + EPOCH_BLOCKS - 1) // EPOCH_BLOCKS)
