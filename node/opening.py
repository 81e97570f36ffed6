"""The database that a node starts from: found, fetched from peers, or begun at the genesis state."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from node.config import NodeConfig, StartError
from node.db.database import Database, Settings
from node.genesis import genesis_of, loaded
from node.identity import node_seed
from node.network.hello import Role
from node.network.host import NetworkConfig
from node.snapshot.join import Progress, join
from primitives.block import block_hash

_log = logging.getLogger(__name__)


async def fetch_database(
    config: NodeConfig, place: Path, keystore: Path, on_progress: Callable[[Progress], None]
) -> None:
    """Fetch a database into `place`, unless there is one. Raises DatabaseError, StartError."""
    if await trio.Path(place).exists():
        _log.info("there is a database already: it goes on from there")
        return
    if config.spec.consensus.engine == "instant":
        raise StartError("this chain has one author and no peers to fetch a state from: leave out --sync")
    genesis = genesis_of(config.spec, config.genesis_state)
    network = NetworkConfig(
        listen=None,
        seed=config.node_seed or node_seed(keystore),
        genesis=block_hash(genesis.block.header),
        role=Role.FULL,
        bootnodes=config.bootnodes,
    )
    height = await join(place, genesis, network, on_progress)
    if height is None:
        _log.info("the chain is too young for a snapshot: it is followed from the genesis block")
    else:
        _log.info("joined at block %d; the blocks since then come next", height)


@asynccontextmanager
async def open_database(config: NodeConfig, place: Path) -> AsyncIterator[Database]:
    """The open database, begun if there is none; closed at the end. Raises DatabaseError, BadStateFile."""
    database = await trio.to_thread.run_sync(_open, config, place)
    try:
        yield database
    finally:
        database.close()


def _open(config: NodeConfig, place: Path) -> Database:
    genesis = genesis_of(config.spec, config.genesis_state)
    if not place.exists():  # a genesis state that cannot be read leaves no directory behind
        genesis = loaded(genesis)
    return Database(place, genesis, Settings(undo_blocks=config.undo_blocks))
