"""What one node is told to be. Read once from the command line, validated there, and never changed."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from inference.process import WorkerSettings
from node.network.identity import Address
from primitives.types import Seed

if TYPE_CHECKING:
    from chainspec.spec import ChainSpec


class StartError(Exception):
    """The node cannot start; one line says why and what to do."""


class SyncMode(StrEnum):
    """How a node without a database gets one."""

    FULL = "full"
    """It executes every block from the genesis block on."""

    SNAPSHOT = "snapshot"
    """It fetches the state of a recent finalized block from its peers, with the proofs that it is the one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """One node."""

    spec: "ChainSpec"
    base_path: Path
    """Where everything of the node is kept, under `chains/ID`."""

    name: str
    """What logs and peers call it."""

    is_validator: bool
    """Whether it votes, if its session key is in the committee."""

    session_seed: Seed | None
    """A well-known session key, for development; None: the one in the keystore, made at the first start."""

    node_seed: Seed | None
    """The network identity; None: the one in the base path, made at the first start."""

    listen: Address
    bootnodes: tuple[Address, ...]
    rpc_port: int
    prometheus_port: int | None
    """None: no metrics are served."""

    undo_blocks: int | None
    """Blocks whose old state is kept; None: all."""

    genesis_state: Path | None = None
    """Where the genesis state is, if the specification has but its root."""

    sync: SyncMode = SyncMode.FULL

    faults: Path | None = None
    """A plan of what is wrong on purpose, for test networks; None: nothing."""

    public_addresses: tuple[Address, ...] = ()
    """Where a validator says that others reach it; empty: where they say that they see it."""

    worker: WorkerSettings = field(default_factory=WorkerSettings)
    """What runs a validator's models."""

    mdns: bool = False
    """Whether to find, and be found by, nodes of the chain on the local network."""

    @property
    def directory(self) -> Path:
        """Everything of this node on this chain."""
        return self.base_path / "chains" / self.spec.id
