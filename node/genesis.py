"""What the database of a node begins with."""

from pathlib import Path

from chainspec.genesis import genesis_block
from chainspec.spec import ChainSpec
from chainspec.state_file import read_state
from frame.state import Changes
from node.db.schema import Genesis
from primitives.block import Block, Body


def genesis_of(spec: ChainSpec, state_file: Path | None = None) -> Genesis:
    """Block 0 of `spec`; `state_file` has the state if the specification has but its root."""
    genesis = genesis_block(spec)

    def changes() -> Changes:
        """Raises BadStateFile."""
        if genesis.changes is not None:
            return genesis.changes
        assert state_file is not None
        return read_state(state_file, spec)

    return Genesis(Block(genesis.header, Body((), ())), changes, genesis.committee)


def loaded(genesis: Genesis) -> Genesis:
    """The same, with its state read. Raises BadStateFile."""
    changes = genesis.changes()
    return Genesis(genesis.block, lambda: changes, genesis.committee)
