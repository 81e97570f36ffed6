"""Block 0, from the specification alone: what a node begins with, and all that a light client has to know."""

from dataclasses import dataclass

from chainspec.spec import ChainSpec, genesis_changes, genesis_committee, genesis_header
from frame.state import Changes
from primitives.block import Header
from primitives.committee import Committee
from primitives.state_root import state_root
from primitives.types import Hash


@dataclass(frozen=True, slots=True)
class GenesisBlock:
    """The genesis block and what follows from it."""

    header: Header
    changes: Changes | None
    """The state after it, as changes to the empty state; None: it is a raw one, in a file of its own."""

    committee: Committee
    """Of epoch 1."""


def genesis_block(spec: ChainSpec) -> GenesisBlock:
    """Block 0 of the chain with this specification."""
    raw, changes = spec.genesis.raw_genesis, None
    if raw is None:
        changes = genesis_changes(spec)
        root = state_root((key, value) for key, value in changes if value is not None)
    else:
        root = Hash(bytes(raw.state_root_hash))
    return GenesisBlock(genesis_header(spec, root), changes, genesis_committee(spec))
