"""Getting blocks executed: one at a time, each after its parent, and only those that something depends on."""

from node.consensus.interface import Epoch, Persist, Verdict, Verify
from node.consensus.outbox import Outbox
from node.consensus.tree import Tree
from primitives.block import Block, block_hash
from primitives.types import BlockHash


class Execution:
    """What is being executed, and what this node could not execute lately."""

    def __init__(self, epoch: Epoch, tree: Tree, out: Outbox) -> None:
        self._epoch = epoch
        self._tree = tree
        self._out = out
        self._verifying: BlockHash | None = None
        self._unable: set[BlockHash] = set()

    def is_ready(self, name: BlockHash) -> bool:
        """Whether a block is executed; if not, one step towards it is taken."""
        if self._tree.is_executed(name):
            return True
        step = self._tree.step_towards(name)
        if isinstance(step, Block):
            step_name = block_hash(step.header)
            if self._verifying is None and step_name not in self._unable:
                self._verifying = step_name
                self._out.add(Persist(step), Verify(self._epoch.index, step))
        elif step is not None:
            self._out.fetch(step, self._tree.tip.height)
        return False

    def verified(self, name: BlockHash, verdict: Verdict) -> None:
        """The host has answered."""
        self._verifying = None
        match verdict:
            case Verdict.VALID:
                self._tree.mark_executed(name)
            case Verdict.INVALID:
                self._tree.bad.add(name)
            case Verdict.UNABLE:
                self._unable.add(name)

    def retry(self) -> None:
        """What this node could not do may be tried again."""
        self._unable.clear()
