"""A whole validator in this process, whose network brings only what a test makes up."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final

import trio
import trio.lowlevel

from chainspec.presets import LOCAL, Network, build_spec
from frame.validators import Validator
from node.config import NodeConfig
from node.db.database import Database, Settings
from node.genesis import genesis_of
from node.identity import begin_journal
from node.network.channel import Received
from node.network.hello import Role
from node.network.host import Network as RealNetwork
from node.network.host import NetworkConfig
from node.network.identity import PeerId, parse_address, peer_id_of
from node.network.peers import PeerInfo
from node.network.requests import RequestFailed, RequestFailure, RequestHandler, ServiceLimits
from node.node import DATABASE_DIRECTORY, KEYSTORE_DIRECTORY, Node
from node.observer import Observer
from node.rpc.dispatch import Dispatcher, Method
from primitives.mnemonic import seed_from_uri
from primitives.types import AccountId, PublicKey, Seed, Stake
from tests.node.keys import ALICE, BOB

PATIENCE_S: Final = 60.0
PEER: Final = peer_id_of(Seed(b"\x02" * 32))
SOURCE: Final = f"/ip4/127.0.0.1/tcp/9/p2p/{PEER}"
TURN_S: Final = 0.5
"""How long one question may wait for its turn: what is rationed is not fuzzed faster by waiting."""

SPEC: Final = build_spec(
    Network(
        name="Fuzzed",
        id="fuzzed",
        chain_type="Local",
        consensus=LOCAL,
        validators=[Validator(AccountId(ALICE.public_key), PublicKey(ALICE.public_key), Stake(1))],
        endowments={AccountId(key.public_key): 10**6 for key in (ALICE, BOB)},
        sudo=AccountId(ALICE.public_key),
    )
)
"""One validator, which finalizes alone."""


class HostileNetwork(RealNetwork):
    """One peer, of the committee as it seems, which answers with lies; after each, or a charge, it is new.

    Else one that says that it holds none of the blocks that are asked for would be asked for no more.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self._name = PEER
        self.charges: Counter[str] = Counter()
        """How often the peer was charged, by reason."""

        self.served: dict[str, RequestHandler] = {}
        self.lies: dict[str, Callable[[], bytes]] = {}
        """What the peer answers to questions of a protocol."""

        self.told: Counter[str] = Counter()
        """How often it was asked and answered, by protocol."""

        self.height = 0

    def serve(self, protocol: str, handler: RequestHandler, limits: ServiceLimits) -> None:
        super().serve(protocol, handler, limits)
        self.served[protocol] = handler

    def penalize(self, peer: PeerId, reason: str, cost: int) -> None:
        self.charges[reason.partition(":")[0]] += 1
        self._rename()

    def peer(self, peer: PeerId) -> PeerInfo | None:
        return PeerInfo(
            peer_id=self._name,
            address=SOURCE,
            outbound=True,
            role=Role.AUTHORITY,
            session_key=BOB.public_key,
            finalized_height=self.height,
        )

    def peers(self) -> tuple[PeerInfo, ...]:
        info = self.peer(PEER)
        assert info is not None
        return (info,)

    def peer_of(self, session_key: bytes) -> PeerId | None:
        return self._name

    def is_authority(self, peer: PeerInfo) -> bool:
        return True

    def host_of(self, peer: PeerId) -> str | None:
        return "127.0.0.1"

    async def request(
        self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float, response_bytes_max: int
    ) -> bytes:
        await trio.sleep(0.01)
        if protocol not in self.lies:
            raise RequestFailed(RequestFailure.UNSUPPORTED)
        self.told[protocol] += 1
        self._rename()
        return self.lies[protocol]()[:response_bytes_max]

    def _rename(self) -> None:
        past = self.charges.total() + self.told.total()
        self._name = peer_id_of(Seed(past.to_bytes(32, "big")))


class Stage(Node):
    """The real node on that network."""

    network: HostileNetwork
    methods: dict[str, Method]

    @property
    def height(self) -> int:
        return self._chain.finalized.height

    @property
    def protocols(self) -> set[str]:
        """Those that the node speaks, hello apart."""
        return set(self.network._peering.handlers)

    def _make_network(self, seed: Seed) -> RealNetwork:
        config = NetworkConfig(
            listen=None,
            seed=seed,
            genesis=self._chain.database.genesis_hash,
            role=Role.AUTHORITY,
            signer=self._session,
        )
        self.network = HostileNetwork(config)
        return self.network

    def _methods(self, observer: Observer) -> dict[str, Method]:
        self.methods = dict(super()._methods(observer))
        return self.methods

    @property
    def dispatcher(self) -> Dispatcher:
        """All methods of the RPC but the one that makes keys."""
        return Dispatcher({name: one for name, one in self.methods.items() if "otateKeys" not in name})

    async def hear(self, protocol: str, frames: Iterable[bytes]) -> None:
        """Have all of the frames arrive at a channel, and wait until they are handled."""
        [channel] = [one for one in self.network._peering.channels if one.protocol == protocol]
        for frame in frames:
            if len(frame) <= channel.limits.frame_bytes_max:
                while not channel.inbox.put(Received(PEER, frame)):
                    await trio.lowlevel.checkpoint()
        with trio.fail_after(PATIENCE_S):
            while channel.inbox._frames:  # noqa: ASYNC110 - it has no event for being empty
                await trio.sleep(0.01)

    async def ask(self, protocol: str, questions: Iterable[bytes]) -> list[bytes | Exception | None]:
        """What the node's handler answers to each: what it raised, or None if its turn did not come."""
        answers: list[bytes | Exception | None] = []
        for question in questions:
            answer: bytes | Exception | None = None
            with trio.move_on_after(TURN_S):
                try:
                    answer = await self.network.served[protocol](PEER, question)
                except Exception as error:  # noqa: BLE001 - whatever it is, the test judges it
                    answer = error
            answers.append(answer)
        return answers

    async def await_block(self) -> None:
        """Return after one more block is final."""
        reached = self.height
        with trio.fail_after(PATIENCE_S):
            while self.height <= reached:  # noqa: ASYNC110 - the chain's own event is for one follower
                await trio.sleep(0.01)


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """A running validator."""
    config = NodeConfig(
        spec=SPEC,
        base_path=directory,
        name="fuzzed",
        is_validator=True,
        session_seed=seed_from_uri("//Alice"),
        node_seed=None,
        listen=parse_address("/ip4/127.0.0.1/tcp/0"),
        bootnodes=(),
        rpc_port=0,
        prometheus_port=None,
        undo_blocks=256,
    )
    begin_journal(config.directory / KEYSTORE_DIRECTORY, PublicKey(ALICE.public_key))
    place = config.directory / DATABASE_DIRECTORY
    database = await trio.to_thread.run_sync(Database, place, genesis_of(SPEC), Settings(undo_blocks=256))
    try:
        with ExitStack() as opened:
            node = Stage(config, database, opened)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.run, lambda _: None)
                await node.await_block()
                yield node
                nursery.cancel_scope.cancel()
    finally:
        database.close()


def batch_of(make: Callable[[Random], bytes], random: Random, count: int) -> list[bytes]:
    """Messages, mostly spoilt."""
    return [make(random) for _ in range(count)]
