"""What a database must do, in dictionaries: every state whole, every root by its definition."""

from collections.abc import Sequence

from frame.state import Changes, DictState
from node.db.errors import UnknownState
from node.db.schema import Genesis
from primitives.block import Header, block_hash
from primitives.state_root import state_root
from primitives.types import BlockHash, Hash


class MemoryDatabase:
    """The part of `node.db.database.Database` that has to do with state."""

    def __init__(self, genesis: Genesis) -> None:
        self.finalized = [genesis.block.header]
        self.states = {block_hash(genesis.block.header): DictState()}
        self.states[self.head].apply(genesis.changes())
        self.parents: dict[BlockHash, BlockHash] = {}

    @property
    def head(self) -> BlockHash:
        """The finalized block."""
        return block_hash(self.finalized[-1])

    def known(self) -> list[BlockHash]:
        """The finalized block and all on top of it."""
        return [self.head, *self.parents]

    def root_after(self, parent: BlockHash, changes: Changes) -> Hash:
        if parent not in self.known():
            raise UnknownState
        state = DictState(self.states[parent].entries)
        state.apply(changes)
        return state_root(state.entries.items())

    def lay(self, block: BlockHash, parent: BlockHash, changes: Changes) -> Hash:
        root = self.root_after(parent, changes)
        self.states[block] = DictState(self.states[parent].entries)
        self.states[block].apply(changes)
        self.parents[block] = parent
        return root

    def forget(self, block: BlockHash) -> None:
        self.parents.pop(block, None)
        self._drop_orphans()

    def commit(self, run: Sequence[Header]) -> None:
        for header in run:
            assert header.parent == self.head
            self.finalized.append(header)
            del self.parents[self.head]
        self._drop_orphans()

    def restart(self) -> None:
        self.parents.clear()

    def _drop_orphans(self) -> None:
        for block, parent in list(self.parents.items()):
            if parent not in self.known():
                del self.parents[block]
