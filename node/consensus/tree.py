"""Blocks of one epoch that are not final yet, and which of them are executed."""

from collections.abc import Iterable
from typing import Final

from node.consensus.messages import block_bytes
from primitives.block import Block, Header, block_hash
from primitives.types import BlockHash

BUDGET_BYTES: Final = 64 * 1024 * 1024
"""Most bytes of blocks in memory; beyond, the oldest that are not executed go, and are fetched again if they
are needed."""


class Tree:
    """Blocks by hash, above the last committed one."""

    def __init__(self, tip: Header, committed: Iterable[BlockHash]) -> None:
        self.tip = tip
        """Header of the last committed block."""
        self.tip_hash = block_hash(tip)
        self.committed = {self.tip_hash, *committed}
        """Hashes of the epoch's committed blocks and of its anchor."""
        self.bad: set[BlockHash] = set()
        """Blocks that execution found invalid: nothing else gets here."""
        self._blocks: dict[BlockHash, Block] = {}
        self._sizes: dict[BlockHash, int] = {}
        self._executed: set[BlockHash] = set()

    def get(self, name: BlockHash) -> Block | None:
        """A block, if it is here."""
        return self._blocks.get(name)

    def header(self, name: BlockHash) -> Header | None:
        """Header of a block that is here, or of the tip."""
        if name == self.tip_hash:
            return self.tip
        block = self._blocks.get(name)
        return block.header if block else None

    def is_executed(self, name: BlockHash) -> bool:
        """Whether the state after this block is known; true of the tip."""
        return name == self.tip_hash or name in self._executed

    def add(self, name: BlockHash, block: Block) -> None:
        """Keep a block whose hash is `name`, at the cost of the oldest if the budget is spent. What is
        executed stays: blocks above it would have no way down to the tip."""
        if name in self._blocks:
            return
        self._blocks[name], self._sizes[name] = block, block_bytes(block)
        while sum(self._sizes.values()) > BUDGET_BYTES:
            self._drop(next(old for old in self._blocks if old not in self._executed))

    def mark_executed(self, name: BlockHash) -> None:
        """Note that a block is valid and its state is known."""
        if name in self._blocks:
            self._executed.add(name)

    def step_towards(self, name: BlockHash) -> Block | BlockHash | None:
        """What is to be done next until `name` is executed: execute a block whose parent is, or fetch the
        block with a hash. None if nothing helps: the block is invalid, or on a branch that finality has
        passed by."""
        child: Block | None = None
        while not self.is_executed(name):
            block = self._blocks.get(name)
            if name in self.bad or (block and block.header.height <= self.tip.height):
                return None
            if block is None:
                return name if child is None or child.header.height > self.tip.height + 1 else None
            child, name = block, block.header.parent
        return child

    def path(self, name: BlockHash) -> tuple[Block, ...]:
        """The executed blocks above the tip up to `name`, lowest first."""
        blocks: list[Block] = []
        while name != self.tip_hash:
            block = self._blocks[name]
            blocks.append(block)
            name = block.header.parent
        return tuple(reversed(blocks))

    def commit(self, blocks: tuple[Block, ...]) -> None:
        """Move the tip up a path; whatever it leaves behind, and all that stands on it, can never become
        final, and is forgotten."""
        for block in blocks:
            self.tip, self.tip_hash = block.header, block_hash(block.header)
            self.committed.add(self.tip_hash)
        left: set[BlockHash] = set()
        for name, block in sorted(self._blocks.items(), key=lambda kept: kept[1].header.height):
            if self._is_stale(block.header) or block.header.parent in left:
                self._drop(name)
                if name not in self.committed:
                    left.add(name)

    def _is_stale(self, header: Header) -> bool:
        return header.height <= self.tip.height or header.view <= self.tip.view

    def _drop(self, name: BlockHash) -> None:
        del self._blocks[name], self._sizes[name]
        self._executed.discard(name)
        self.bad.discard(name)
