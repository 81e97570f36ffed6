"""One node: every service, connected and run in one nursery.

Start: check the machine, open the database, declare channels and services, bind the ports; only then let
anything happen. Stop: cancel the nursery; every service leaves in order, and the database closes last.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import trio

from chainspec.genesis import genesis_block
from chainspec.spec import ChainSpec
from node.authorship.author import Author
from node.authorship.instant import InstantEngine
from node.chain import Chain
from node.config import NodeConfig, StartError
from node.db.database import Database, Settings
from node.db.errors import DatabaseError
from node.db.schema import Genesis
from node.identity import NODE_KEY, SESSION_KEY, seed_in
from node.keystore.store import KeystoreError
from node.metrics.gauges import Reading, metrics_route
from node.network.hello import Role
from node.network.host import ListenFailed, Network, NetworkConfig
from node.pool.core import Limits
from node.pool.service import PoolService
from node.pool.verdicts import Verdicts
from node.rpc.dispatch import Dispatcher, Method
from node.rpc.methods import About, Live, Methods
from node.rpc.server import HttpServer, PortInUse, rpc_route
from primitives.block import Block, Body, block_hash
from primitives.signing import SigningKey, verify
from primitives.signing_verdicts import disagreements
from primitives.types import Seed, TimestampMs
from runtime.runtime import Runtime

DATABASE_DIRECTORY: Final = "db"
KEYSTORE_DIRECTORY: Final = "keystore"

_log = logging.getLogger(__name__)


class Service(Protocol):
    """A part of the node that runs until it is cancelled."""

    async def run(self) -> None:
        """Serve."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a node reports once it serves."""

    rpc_port: int
    peer_id: str
    address: str | None
    """Where peers reach it; None if it accepts no connections."""


async def run(config: NodeConfig, on_started: Callable[[Started], None]) -> None:
    """Be a node until cancelled. Raises StartError with one line for the operator."""
    _ensure_machine()
    try:
        async with _database(config) as database:
            await Node(config, database).run(on_started)
    except (DatabaseError, KeystoreError, PortInUse, ListenFailed) as error:
        raise StartError(str(error)) from error


def clock_ms() -> TimestampMs:
    """The wall clock."""
    return TimestampMs(time.time_ns() // 1_000_000)


class Node:
    """The services of one node, connected and not yet running."""

    def __init__(self, config: NodeConfig, database: Database) -> None:
        """Makes missing keys and binds the RPC and metrics ports. Raises KeystoreError, PortInUse."""
        keys = config.directory / KEYSTORE_DIRECTORY
        session_seed = config.session_seed or (seed_in(keys, SESSION_KEY) if config.is_validator else None)
        self._session = None if session_seed is None else SigningKey(session_seed)
        self._config = config
        self._chain = Chain(database, Runtime(Verdicts()))
        self._network = self._make_network(config.node_seed or seed_in(keys, NODE_KEY))
        self._pool = PoolService(self._chain, self._network, self._chain.follow(), Limits())
        self._engine = self._make_engine()
        routes = [rpc_route(Dispatcher(self._methods()))]
        self._servers = [HttpServer(routes, config.rpc_port, "--rpc-port")]
        if config.prometheus_port is not None:
            metrics = metrics_route(self._reading)
            self._servers.append(HttpServer([metrics], config.prometheus_port, "--prometheus-port"))

    async def run(self, on_started: Callable[[Started], None]) -> None:
        """Serve until cancelled. Raises ListenFailed."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._network.run)
            services: list[Service] = [self._pool, self._engine, *self._servers]
            for service in services:
                nursery.start_soon(service.run)
            nursery.start_soon(self._announce_height, self._chain.follow())
            on_started(self._started())

    def _make_network(self, seed: Seed) -> Network:
        config = self._config
        is_alone = config.spec.consensus.engine == "instant"
        network = NetworkConfig(
            listen=None if is_alone else config.listen,
            seed=seed,
            genesis=self._chain.database.genesis_hash,
            role=Role.FULL if self._session is None else Role.AUTHORITY,
            bootnodes=config.bootnodes,
            signer=self._session,
        )
        return Network(network)

    def _make_engine(self) -> InstantEngine:
        if self._session is None:
            raise StartError("the instant engine has one author, whose key this node lacks: pass --alice")
        author = Author(self._chain, self._pool, self._session.public_key, ())
        pace = self._config.spec.consensus.block_time_ms
        return InstantEngine(self._chain, self._pool, author, clock_ms, pace)

    async def _announce_height(self, finalized: trio.MemoryReceiveChannel[Block]) -> None:
        """Log each final block, and let the heartbeats tell the peers."""
        async for block in finalized:
            header = block.header
            self._network.set_status(header.height)
            count = len(block.body.extrinsics)
            _log.info("finalized %d (%s), %d extrinsics", header.height, block_hash(header).hex()[:12], count)

    def _started(self) -> Started:
        listening = self._network.listening
        return Started(
            rpc_port=self._servers[0].port,
            peer_id=self._network.peer_id,
            address=None if listening is None else str(listening),
        )

    def _methods(self) -> Mapping[str, Method]:
        spec = self._config.spec
        about = About(
            chain_name=spec.name,
            chain_type=spec.chain_type,
            fork_id=spec.fork_id,
            properties=msgspec.to_builtins(spec.properties),
            version=version("consilience"),
            name=self._config.name,
            peer_id=self._network.peer_id,
        )
        live = Live(
            peers=self._peers,
            addresses=lambda: [str(self._network.listening)] if self._network.listening else [],
            sync_state=lambda: {"currentBlock": self._chain.finalized.height, "highestBlock": self._target()},
            is_syncing=lambda: False,
            consensus=lambda: {"epoch": self._chain.finalized.header.epoch},
        )
        return Methods(about, live, self._chain, self._pool).table()

    def _peers(self) -> list[dict[str, Any]]:
        return [
            {
                "peerId": peer.peer_id,
                "address": peer.address,
                "role": str(peer.role),
                "finalizedHeight": peer.finalized_height,
                "score": peer.score,
            }
            for peer in self._network.peers()
        ]

    def _target(self) -> int:
        """The highest finalized block that anybody connected speaks of."""
        heights = (peer.finalized_height for peer in self._network.peers())
        return max(heights, default=self._chain.finalized.height)

    def _reading(self) -> Reading:
        header, counters = self._chain.finalized.header, self._network.counters
        return Reading(
            finalized_height=header.height,
            finalized_age_s=(clock_ms() - header.timestamp_ms) / 1000,
            target_height=self._target(),
            peers=len(self._network.peers()),
            ready_transactions=self._pool.stats().ready,
            epoch=header.epoch,
            view=header.view,
            is_voting=self._session is not None,
            dropped_frames=counters.dropped_in.total() + counters.dropped_out.total(),
            database_bytes=_size_bytes(self._config.directory / DATABASE_DIRECTORY),
        )


@asynccontextmanager
async def _database(config: NodeConfig) -> AsyncIterator[Database]:
    """The open database; closed when everything else has stopped."""
    settings = Settings(undo_blocks=config.undo_blocks)
    path = config.directory / DATABASE_DIRECTORY
    database = await trio.to_thread.run_sync(Database, path, genesis_of(config.spec), settings)
    try:
        yield database
    finally:
        database.close()


def genesis_of(spec: ChainSpec) -> Genesis:
    """What the database of a node begins with."""
    genesis = genesis_block(spec)
    return Genesis(Block(genesis.header, Body((), ())), genesis.changes, genesis.committee)


def _size_bytes(directory: Path) -> int:
    """What the files in `directory` take up on the disk."""
    return sum(entry.stat().st_blocks * 512 for entry in directory.iterdir())


def _ensure_machine() -> None:
    """Refuse a machine that would judge signatures unlike the others. Raises StartError."""
    wrong = disagreements(verify)
    if wrong:
        raise StartError(
            f"the installed libsodium judges signatures unlike the network ({wrong[0]}): reinstall pynacl"
        )
