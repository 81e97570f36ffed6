"""One node: every service, connected and run in one nursery.

Start: check the machine, open the database, declare channels and services, bind the ports; only then let
anything happen. Stop: cancel the nursery; every service leaves in order, and the database closes last.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import ip_address
from typing import Final, Protocol

import msgspec
import trio
from starlette.routing import BaseRoute

from chainspec.state_file import BadStateFile
from inference.pool import PoolSettings, WorkerPool
from inference.supervisor import Supervisor
from node.attestation import journal as attestation
from node.attestation.service import AttestationService, Parts, Seating
from node.authorship.author import Author
from node.blobs.service import BlobService
from node.blobs.store import BlobError, BlobStore, StoreLimits
from node.chain import Chain
from node.config import NodeConfig, StartError, SyncMode
from node.consensus.engine import ConsensusEngine
from node.consensus.instant import InstantEngine
from node.consensus.interface import Peer
from node.consensus.journal import JournalError
from node.consensus.service import SimplexService
from node.consensus_host import ConsensusHost, Reports
from node.consensus_transport import ConsensusTransport
from node.db.database import Database
from node.db.errors import DatabaseError
from node.discovery.mdns import MdnsService, MdnsSettings
from node.discovery.service import DiscoveryService
from node.discovery.service import Settings as DiscoverySettings
from node.evidence.service import EvidenceService, views_of
from node.evidence.store import EvidenceStore
from node.evidence.votes import VoteRecord
from node.identity import node_seed
from node.instant.host import SETTINGS, BlockHost
from node.instant.service import InstantService
from node.keystore.store import KeystoreError
from node.metrics.gauges import metrics_route
from node.network.fault_plan import BadPlan
from node.network.faults import Faults
from node.network.hello import Role
from node.network.host import ListenFailed, Network, NetworkConfig
from node.observer import Observer
from node.opening import fetch_database, open_database
from node.pool.core import Limits
from node.pool.service import PoolService
from node.pool.verdicts import Verdicts
from node.rpc.blobs import blob_routes
from node.rpc.dispatch import Dispatcher, Method
from node.rpc.methods import About, Methods
from node.rpc.server import HttpServer, PortInUse, rpc_route
from node.rpc.sessions import SessionMethods
from node.sealing.keys import SealingKeys
from node.session_keys import SessionKeys, begin_known_key
from node.snapshot.join import Progress as Joining
from node.snapshot.service import SnapshotService
from node.sync.importer import Importer
from node.sync.progress import Progress
from node.sync.service import Consensus, SyncService
from primitives.block import Block, block_hash
from primitives.signing import verify
from primitives.signing_verdicts import disagreements
from primitives.types import Seed, TimestampMs
from runtime.runtime import Runtime

DATABASE_DIRECTORY: Final = "db"
KEYSTORE_DIRECTORY: Final = "keystore"
BLOBS_DIRECTORY: Final = "blobs"
ATTESTATION_DIRECTORY: Final = "attestation"
PEERSTORE: Final = "peers.sqlite"
VOTES_DIRECTORY: Final = "votes"
EVIDENCE_DIRECTORY: Final = "evidence"

IDLE_BLOCK_MS: Final = 1_000
"""On a development chain, time between blocks when nothing happens: what waits for a height gets there."""

CONSENSUS_GAP_BLOCKS: Final = 3
"""A validator this close to its peers catches up by consensus; one further behind asks for blocks."""

MISBEHAVIOUR_COST: Final = 20
"""For a message that nobody honest sends."""

TROUBLE: Final = (
    DatabaseError,
    KeystoreError,
    JournalError,
    attestation.JournalError,
    BlobError,
    BadPlan,
    BadStateFile,
    PortInUse,
    ListenFailed,
)
"""What the operator can do something about; each is one line that says what."""

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

    progress: Callable[[], Progress]
    """How catching up with the peers goes."""


async def run(
    config: NodeConfig,
    on_started: Callable[[Started], None],
    on_joining: Callable[[Joining], None] = lambda _: None,
) -> None:
    """Be a node until cancelled. Raises StartError with one line for the operator.

    `on_joining` hears how far a node is that fetches its first state from its peers.
    """
    _ensure_machine()
    trouble: list[BaseException] = []
    try:
        if config.is_validator and config.session_seed is not None:
            is_new = not (config.directory / DATABASE_DIRECTORY).exists()
            begin_known_key(config.directory / KEYSTORE_DIRECTORY, config.session_seed, is_new=is_new)
        place = config.directory / DATABASE_DIRECTORY
        if config.sync is SyncMode.SNAPSHOT:
            await fetch_database(config, place, config.directory / KEYSTORE_DIRECTORY, on_joining)
        async with open_database(config, place) as database:
            with ExitStack() as opened:
                await Node(config, database, opened).run(on_started)
    except* TROUBLE as group:
        trouble.append(_first(group))
    if trouble:
        raise StartError(str(trouble[0])) from trouble[0]


def clock_ms() -> TimestampMs:
    """The wall clock."""
    return TimestampMs(time.time_ns() // 1_000_000)


class Node:
    """The services of one node, connected and not yet running."""

    def __init__(self, config: NodeConfig, database: Database, opened: ExitStack) -> None:
        """Makes missing keys and binds the RPC and metrics ports; what it opens is closed by `opened`.

        Raises StartError, KeystoreError, JournalError, BlobError, PortInUse.
        """
        self._config = config
        self._opened = opened
        self._keys = config.directory / KEYSTORE_DIRECTORY
        self._faults = _faults(config)
        self._sessions = self._open_session_keys()
        self._sealing = None if self._sessions is None else SealingKeys(self._keys)
        self._session = None if self._sessions is None else self._sessions.newest()
        """The session key that vouches for this node."""

        self._verdicts = Verdicts()
        self._block_host = BlockHost(Supervisor(SETTINGS))
        self._chain = Chain(database, Runtime(self._verdicts, self._block_host))
        self._network = self._make_network(config.node_seed or node_seed(self._keys))
        SnapshotService(database, self._network)
        self._pool = PoolService(self._chain, self._network, self._chain.follow(), Limits())
        self._blobs = BlobService(BlobStore(config.directory / BLOBS_DIRECTORY, StoreLimits()), self._network)
        pool = PoolSettings(worker=config.worker)
        self._workers = None if self._sessions is None else WorkerPool(pool)
        self._attestation = self._make_attestation()
        self._instant = InstantService(
            self._chain,
            self._blobs,
            self._block_host,
            self._chain.runtime.pinned_models,
            self._chain.follow(),
        )
        self._discovery = self._make_discovery()
        self._votes = VoteRecord(config.directory / VOTES_DIRECTORY)
        self._evidence = self._make_evidence()
        self._want, self._wanted = trio.open_memory_channel[None](1)
        self._host = self._make_host()
        self._engine = self._make_engine()
        self._sync = self._make_sync()
        observer = Observer(
            chain=self._chain,
            network=self._network,
            pool=self._pool,
            sync=self._sync,
            host=self._host,
            votes=self._votes,
            evidence=self._evidence,
            is_voting=self._is_voting,
            workers=self._workers,
            database=config.directory / DATABASE_DIRECTORY,
        )
        self._servers = self._make_servers(observer)

    async def run(self, on_started: Callable[[Started], None]) -> None:
        """Serve until cancelled. Raises ListenFailed."""
        await self._admit_committee()
        self._network.set_status(self._chain.finalized.height)
        async with trio.open_nursery() as nursery:
            await nursery.start(self._network.run)
            services: list[Service] = [self._pool, self._sync, self._attestation, *self._servers]
            services += [self._votes, self._evidence, self._discovery, self._instant]
            if self._engine is not None:
                services.append(self._engine)
            if self._config.mdns:
                genesis = self._chain.database.genesis_hash
                services.append(MdnsService(self._network, MdnsSettings(genesis=genesis)))
            for service in services:
                nursery.start_soon(service.run)
            nursery.start_soon(self._watch, self._chain.follow())
            nursery.start_soon(self._tell_arrivals)
            on_started(self._started())

    def _open_session_keys(self) -> SessionKeys | None:
        """Those of a validator, one made if there is none. Raises KeystoreError, JournalError."""
        if not self._config.is_validator:
            return None
        sessions = SessionKeys(self._keys, self._config.session_seed, are_journaled=not self._is_alone)
        self._opened.callback(sessions.close)
        return sessions

    def _make_network(self, seed: Seed) -> Network:
        config = self._config
        network = NetworkConfig(
            listen=None if self._is_alone else config.listen,
            seed=seed,
            genesis=self._chain.database.genesis_hash,
            role=Role.FULL if self._session is None else Role.AUTHORITY,
            bootnodes=config.bootnodes,
            signer=self._session,
            faults=self._faults,
            peerstore=config.directory / PEERSTORE,
        )
        return Network(network)

    @property
    def _is_alone(self) -> bool:
        return self._config.spec.consensus.engine == "instant"

    def _make_servers(self, observer: Observer) -> list[HttpServer]:
        """RPC first, then metrics. Raises PortInUse."""
        config = self._config
        routes = [rpc_route(Dispatcher(self._methods(observer))), *blob_routes(self._blobs)]
        servers = [self._bind(routes, config.rpc_port, "--rpc-port")]
        if config.prometheus_port is not None:
            metrics = [metrics_route(observer.reading)]
            servers.append(self._bind(metrics, config.prometheus_port, "--prometheus-port"))
        return servers

    def _bind(self, routes: Sequence[BaseRoute], port: int, option: str) -> HttpServer:
        """Raises PortInUse."""
        server = HttpServer(routes, port, option)
        self._opened.callback(server.close)
        return server

    def _make_host(self) -> ConsensusHost | None:
        """What an engine stands on; None on a node that does not validate."""
        if self._sessions is None:
            return None
        author = Author(self._chain, self._pool, (self._evidence, self._attestation))
        reports = Reports(charge=self._charge, found=self._evidence.found, votes=self._votes)
        return ConsensusHost(self._chain, author, reports)

    def _make_engine(self) -> ConsensusEngine | None:
        """What makes blocks final here; None on a node that does not validate, which follows by sync."""
        if self._sessions is None or self._host is None:
            if self._is_alone:
                raise StartError("the chain has one author, whose key this node lacks: pass --alice")
            return None
        if self._is_alone:
            return InstantEngine(
                self._host,
                self._sessions.key_for,
                self._wanted,
                interval_ms=IDLE_BLOCK_MS,
                clock=self._clock_ms,
            )
        return SimplexService(
            self._host,
            ConsensusTransport(self._network),
            signers=self._sessions,
            clock=self._clock_ms,
        )

    def _make_attestation(self) -> AttestationService:
        runtime, seating = self._chain.runtime, None
        if self._sessions is not None and self._workers is not None:
            seating = Seating(
                seeds=self._sessions.seeds,
                worker=self._workers,
                blobs=self._blobs,
                journal=attestation.Journal(self._config.directory / ATTESTATION_DIRECTORY),
                secrets={} if self._sealing is None else self._sealing.secrets,
            )
        parts = Parts(
            chain=self._chain,
            network=self._network,
            finalized=self._chain.follow(),
            open_jobs=runtime.open_jobs,
            genesis=self._chain.database.genesis_hash,
            verifier=self._verdicts,
        )
        return AttestationService(parts, seating)

    def _make_discovery(self) -> DiscoveryService:
        settings = DiscoverySettings(
            genesis=self._chain.database.genesis_hash,
            signer=self._session,
            public_addresses=self._config.public_addresses,
            clock_ms=self._clock_ms,
        )
        return DiscoveryService(self._network, settings)

    def _make_evidence(self) -> EvidenceService:
        return EvidenceService(
            self._chain,
            self._network,
            self._chain.follow(),
            views_of(self._chain.runtime),
            EvidenceStore(self._config.directory / EVIDENCE_DIRECTORY),
            self._verdicts,
        )

    def _make_sync(self) -> SyncService:
        consensus = None
        if self._engine is not None:
            consensus = Consensus(
                patience_blocks=lambda: CONSENSUS_GAP_BLOCKS if self._is_voting() else 0,
                settle=self._engine.advance,
                disagree=self._engine.disagree,
            )
        return SyncService(
            self._chain, Importer(self._chain), self._chain.database.blocks, self._network, consensus
        )

    def _charge(self, key: Peer, reason: str) -> None:
        """Lower the score of the peer that proved a session key."""
        peer = self._network.peer_of(key)
        if peer is not None:
            self._network.penalize(peer, reason, MISBEHAVIOUR_COST)

    async def _watch(self, finalized: trio.MemoryReceiveChannel[Block]) -> None:
        """Log each final block, let the heartbeats tell the peers, and keep the committee's slots free."""
        async for block in finalized:
            header = block.header
            self._network.set_status(header.height)
            count = len(block.body.extrinsics)
            level = logging.DEBUG if self._sync.is_syncing else logging.INFO  # sync tells of many at once
            name = block_hash(header).hex()[:12]
            _log.log(level, "finalized %d (%s), %d extrinsics", header.height, name, count)
            if header.next_set is not None:
                await self._admit_committee()

    async def _tell_arrivals(self) -> None:
        """Let an engine that waits for extrinsics know of them."""
        seen = 0
        while True:
            seen = await self._pool.wait_for_arrival(seen)
            with suppress(trio.WouldBlock):
                self._want.send_nowait(None)

    async def _admit_committee(self) -> None:
        committee = await self._chain.query(self._chain.runtime.committee)
        keys = frozenset(member.key for member in committee.members)
        self._network.set_authorities(keys)
        self._discovery.set_committee(keys)
        acting = None if self._sessions is None else self._sessions.key_for(committee)
        if acting is not None and acting is not self._session:
            self._session = acting
            self._network.set_signer(acting)
            self._discovery.set_signer(acting)

    def _started(self) -> Started:
        listening = self._network.listening
        return Started(
            rpc_port=self._servers[0].port,
            peer_id=self._network.peer_id,
            address=None if listening is None else str(listening),
            progress=lambda: self._sync.progress,
        )

    def _methods(self, observer: Observer) -> Mapping[str, Method]:
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
        methods = Methods(about, observer.live(), self._chain, self._pool).table()
        return {
            **methods,
            "consensus_votes": observer.recent_votes,
            "consensus_evidence": self._evidence.shown,
            **self._key_methods(),
        }

    def _key_methods(self) -> Mapping[str, Method]:
        """Those about the session keys, on a validator."""
        if self._sessions is None or self._sealing is None:
            return {}
        return SessionMethods(self._sessions, self._sealing, self._chain.database.genesis_hash).table()

    def _clock_ms(self) -> TimestampMs:
        """What this node takes for the time."""
        true_ms = clock_ms()
        return true_ms if self._faults is None else TimestampMs(self._faults.clock_ms(true_ms))

    def _is_voting(self) -> bool:
        engine = self._engine
        if isinstance(engine, SimplexService):
            return engine.is_voting
        return engine is not None


def _faults(config: NodeConfig) -> Faults | None:
    """What is wrong on purpose. Raises StartError where that could harm anybody, BadPlan."""
    if config.faults is None:
        return None
    if config.spec.chain_type == "Live":
        raise StartError("--faults is for test networks, and this chain is live: start without it")
    if not ip_address(config.listen.host).is_loopback:
        raise StartError("--faults is for networks on one machine: pass --listen /ip4/127.0.0.1/tcp/PORT")
    return Faults(config.faults)


def _first(error: BaseException) -> BaseException:
    """The first of what the services raised, out of the groups that their nurseries made of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _ensure_machine() -> None:
    """Refuse a machine that would judge signatures unlike the others. Raises StartError."""
    wrong = disagreements(verify)
    if wrong:
        raise StartError(
            f"the installed libsodium judges signatures unlike the network ({wrong[0]}): reinstall pynacl"
        )
