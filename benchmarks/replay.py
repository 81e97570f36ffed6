"""Full replay: a new node takes a chain from another by the sync protocol, as fast as it can.

One chain of full blocks, each of 2,000 signed transfers, and one of empty blocks, both of four validators, in
databases on the disk. The server's answers and the client's sync service, importer and chain are the real
ones; only the network between them is a function call, and both share one process, as no two machines would.
"""

import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from msgspec import msgpack

from chainspec.presets import LOCAL, Network, build_spec
from chainspec.spec import ChainSpec
from frame.validators import Validator
from node.chain import Chain, Plan
from node.db.database import Database
from node.genesis import genesis_of
from node.network.channel import ChannelLimits, Received
from node.network.hello import Role
from node.network.identity import PeerId
from node.network.peering import PeerEvent
from node.network.peers import PeerInfo
from node.network.requests import RequestHandler, ServiceLimits
from node.pool.verdicts import Verdicts
from node.sync.importer import Importer
from node.sync.service import SyncService
from primitives.block import Block, Header, block_hash
from primitives.certificate import Certificate, certificate_of
from primitives.extrinsic import Call, Extrinsic, Mortality, SigningContext, sign_extrinsic
from primitives.signing import SigningKey
from primitives.types import (
    AccountId,
    AuthorityIndex,
    Balance,
    BlockHash,
    BlockNumber,
    Nonce,
    PublicKey,
    Seed,
    SpecVersion,
    Stake,
    TimestampMs,
    View,
)
from primitives.vote import Vote, VoteKind, vote_message
from runtime.constants import SPEC_VERSION, TOKEN
from runtime.runtime import Runtime

SENDERS = 4_000
FULL_BLOCKS = 12
PER_BLOCK = 2_000
EMPTY_BLOCKS = 1_500
VALIDATORS = [SigningKey(Seed(bytes([number]) * 32)) for number in range(1, 5)]
SERVER = PeerId("server")


class Line:
    """The network of one node: a wire to the one that serves."""

    def __init__(self, server: SyncService | None, height: int) -> None:
        self._server = server
        self._height = height
        self._never, self._events = trio.open_memory_channel[PeerEvent](0)
        self._silence, self.inbox = trio.open_memory_channel[Received](0)

    def channel(self, _protocol: str, _limits: ChannelLimits, /) -> "Line":
        """Announcements, of which there are none."""
        return self

    def broadcast(self, _data: bytes, /, *, where: Callable[[PeerInfo], bool], replaces: str | None) -> int:
        """To nobody."""
        del where, replaces
        return 0

    def serve(self, protocol: str, handler: RequestHandler, limits: ServiceLimits, /) -> None:
        """The server is asked directly."""

    def subscribe(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """Nobody comes or goes."""
        return self._events

    async def request(
        self, peer: PeerId, protocol: str, payload: bytes, /, *, timeout_s: float, response_bytes_max: int
    ) -> bytes:
        """What the server answers."""
        assert self._server is not None
        del peer, protocol, timeout_s
        answer = await self._server.answer(PeerId("client"), payload)
        assert len(answer) <= response_bytes_max
        return answer

    def is_authority(self, peer: PeerInfo, /) -> bool:
        return peer.role is Role.AUTHORITY

    def peers(self) -> Sequence[PeerInfo]:
        """The server, under as many names as may be asked at once."""
        if self._server is None:
            return []
        return [
            PeerInfo(
                peer_id=PeerId(f"{SERVER}-{number}"),
                address="",
                outbound=True,
                role=Role.FULL,
                session_key=None,
                finalized_height=self._height,
            )
            for number in range(4)
        ]

    def penalize(self, peer: PeerId, reason: str, cost: int, /) -> None:
        """Nobody lies."""
        raise AssertionError(f"{peer}: {reason} ({cost})")

    def reward(self, peer: PeerId, gain: int, /) -> None:
        """Costs nothing."""


def main() -> int:
    """Prints the figures."""
    figures = trio.run(measure)
    print(json.dumps({"benchmark": "replay", **figures}))
    return 0


async def measure() -> dict[str, Any]:
    """Both chains, built and replayed."""
    chance = random.Random(1)
    keys = [SigningKey(Seed(chance.randbytes(32))) for _ in range(SENDERS)]
    spec = spec_of(keys)
    with tempfile.TemporaryDirectory() as folder:
        full = await replayed(Path(folder) / "full", spec, transfers(spec, keys, chance))
        empty = await replayed(Path(folder) / "empty", spec, [()] * EMPTY_BLOCKS)
    return {
        "transfers_per_s": round(FULL_BLOCKS * PER_BLOCK / full["clock_s"]),
        "transfers_per_processor_s": round(FULL_BLOCKS * PER_BLOCK / full["processor_s"]),
        "empty_blocks_per_s": round(EMPTY_BLOCKS / empty["clock_s"]),
        "empty_blocks_per_processor_s": round(EMPTY_BLOCKS / empty["processor_s"]),
        "cores_used": {
            "full": round(full["processor_s"] / full["clock_s"], 2),
            "empty": round(empty["processor_s"] / empty["clock_s"], 2),
        },
    }


def spec_of(keys: Sequence[SigningKey]) -> ChainSpec:
    """Four validators, and senders with something to send."""
    accounts = [AccountId(key.public_key) for key in (*VALIDATORS, *keys)]
    return build_spec(
        Network(
            name="Replay",
            id="replay",
            chain_type="Local",
            consensus=LOCAL,
            validators=[Validator(AccountId(key.public_key), key.public_key, Stake(1)) for key in VALIDATORS],
            endowments=dict.fromkeys(accounts, 1000),
        )
    )


def transfers(
    spec: ChainSpec, keys: Sequence[SigningKey], chance: random.Random
) -> list[tuple[Extrinsic, ...]]:
    """The extrinsics of each full block; each sender's in the order of their nonces."""
    genesis = block_hash(genesis_of(spec).block.header)
    context = SigningContext(genesis, spec.fork_id, SpecVersion(SPEC_VERSION), genesis)
    sent = []
    for number in range(FULL_BLOCKS * PER_BLOCK):
        call = Call(2, 0, msgpack.encode((chance.choice(keys).public_key, TOKEN + number)))
        mortality, nonce = Mortality(64, BlockNumber(0)), Nonce(number // SENDERS)
        sent.append(sign_extrinsic(keys[number % SENDERS], nonce, mortality, Balance(0), call, context))
    return [tuple(sent[start : start + PER_BLOCK]) for start in range(0, len(sent), PER_BLOCK)]


@asynccontextmanager
async def opened(folder: Path, spec: ChainSpec) -> AsyncIterator[Chain]:
    """A chain on the disk, as a node has one."""
    database = Database(folder, genesis_of(spec))
    try:
        yield Chain(database, Runtime(Verdicts()))
    finally:
        database.close()


async def replayed(folder: Path, spec: ChainSpec, bodies: Sequence[Sequence[Extrinsic]]) -> dict[str, float]:
    """How long a new node takes to fetch, verify, execute and commit a chain of these bodies."""
    async with opened(folder / "old", spec) as old, opened(folder / "new", spec) as new:
        for body in bodies:
            await extend(old, body)
        server = SyncService(old, Importer(old), old.database.blocks, Line(None, 0))
        client = SyncService(new, Importer(new), new.database.blocks, Line(server, len(bodies)))
        finalized = new.follow()
        gc.collect()
        gc.freeze()
        clock, processor = time.perf_counter(), time.process_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            async for block in finalized:
                if block.header.height == len(bodies):
                    break
            spent = {"clock_s": time.perf_counter() - clock, "processor_s": time.process_time() - processor}
            nursery.cancel_scope.cancel()
        assert new.finalized.hash == old.finalized.hash
    return spent


async def extend(chain: Chain, extrinsics: Sequence[Extrinsic]) -> None:
    """One more finalized block of `extrinsics`."""
    parent = chain.finalized.header
    plan = Plan(
        parent=parent,
        view=View(parent.height + 1),
        timestamp_ms=TimestampMs(parent.timestamp_ms + LOCAL.block_time_ms),
        author=PublicKey(VALIDATORS[0].public_key),
        inherents=lambda _: (),
        candidates=extrinsics,
    )
    block = await chain.build(plan)
    assert len(block.body.extrinsics) == len(extrinsics)
    await chain.commit([block], certified(block, (await chain.trusted()).anchor))


def certified(block: Block, anchor: BlockHash) -> Certificate:
    """FINALIZE by three validators of four."""
    header: Header = block.header
    name = block_hash(header)
    message = vote_message(anchor, VoteKind.FINALIZE, header.epoch, header.view, name)
    return certificate_of(
        Vote(VoteKind.FINALIZE, header.epoch, header.view, name, AuthorityIndex(index), key.sign(message))
        for index, key in enumerate(VALIDATORS[:3])
    )


if __name__ == "__main__":
    sys.exit(main())
