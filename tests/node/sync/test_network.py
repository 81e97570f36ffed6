"""Real nodes on loopback: a chain that was built on one is replayed by another, across epochs."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from chainspec.presets import local
from chainspec.spec import ChainSpec
from node.chain import Chain, Plan
from node.db.database import Database
from node.genesis import genesis_of
from node.network.host import Network
from node.network.identity import PeerId
from node.sync.importer import Importer
from node.sync.messages import ANNOUNCE_PROTOCOL, ANSWER, PROTOCOL, REQUEST, Answer, Run, decode_answer
from node.sync.service import CHANNEL_LIMITS, SERVICE_LIMITS, SyncService
from node.sync.serving import collect
from primitives.block import Block, Body, Header, block_hash
from primitives.certificate import Certificate, certificate_of
from primitives.extrinsic import Call
from primitives.mnemonic import seed_from_uri
from primitives.signing import SigningKey
from primitives.types import AuthorityIndex, BlockNumber, Hash, PublicKey, TimestampMs, View
from primitives.vote import Vote, VoteKind, vote_message
from runtime.runtime import Runtime
from tests.node.network.networks import PATIENCE_S, config, eventually

KEYS = [SigningKey(seed_from_uri(f"//{name}")) for name in ("Alice", "Bob", "Charlie", "Dave")]
SHORT_EPOCHS = replace(local(), consensus=replace(local().consensus, epoch_length=4))


@asynccontextmanager
async def chain_at(path: Path, spec: ChainSpec = SHORT_EPOCHS) -> AsyncIterator[Chain]:
    database = Database(path, genesis_of(spec))
    try:
        yield Chain(database, Runtime())
    finally:
        database.close()


async def build(chain: Chain, parent: Header, after_ms: int = 500) -> Block:
    plan = Plan(
        parent=parent,
        view=View(parent.height + 1),
        timestamp_ms=TimestampMs(parent.timestamp_ms + after_ms),
        author=PublicKey(KEYS[0].public_key),
        inherents=lambda _: (),
        candidates=(),
    )
    return await chain.build(plan)


async def certify(chain: Chain, block: Block) -> Certificate:
    """FINALIZE by three validators of four."""
    anchor, header, subject = (await chain.trusted()).anchor, block.header, block_hash(block.header)
    message = vote_message(anchor, VoteKind.FINALIZE, header.epoch, header.view, subject)
    return certificate_of(
        Vote(VoteKind.FINALIZE, header.epoch, header.view, subject, AuthorityIndex(index), key.sign(message))
        for index, key in enumerate(KEYS[:3])
    )


async def grow(chain: Chain, runs: Sequence[int]) -> None:
    """Make runs of so many blocks final."""
    for length in runs:
        blocks: list[Block] = []
        for _ in range(length):
            blocks.append(await build(chain, blocks[-1].header if blocks else chain.finalized.header))
        await chain.commit(blocks, await certify(chain, blocks[-1]))


def sync_of(chain: Chain, network: Network) -> SyncService:
    return SyncService(chain, Importer(chain), chain.database.blocks, network)


async def test_a_new_node_replays_the_chain_and_follows_what_is_announced(tmp_path: Path) -> None:
    async with chain_at(tmp_path / "old") as old, chain_at(tmp_path / "new") as new:
        await grow(old, (1, 2, 1, 3, 1, 2))
        async with trio.open_nursery() as nursery:
            one = Network(config(1))
            server = sync_of(old, one)
            one.set_status(old.finalized.height)
            await nursery.start(one.run)
            nursery.start_soon(server.run)
            two = Network(config(2, one.listening))
            client = sync_of(new, two)
            await nursery.start(two.run)
            nursery.start_soon(client.run)
            await eventually(lambda: new.finalized.hash == old.finalized.hash)
            with trio.fail_after(PATIENCE_S):
                await grow(old, (1,))
            await eventually(lambda: new.finalized.hash == old.finalized.hash)
            assert not client.is_syncing
            nursery.cancel_scope.cancel()


def is_charged(network: Network, peer: PeerId) -> bool:
    info = network.peer(peer)
    return peer in network.banned() or (info is not None and info.score < 0)


def unsigned(answer: Answer) -> bytes:
    """The last certificate lacks its signatures."""
    last = answer.runs[-1]
    nobody = replace(last.certificate, bitmap=b"", signatures=())
    return ANSWER.encode(replace(answer, runs=(*answer.runs[:-1], replace(last, certificate=nobody))))


def invented(answer: Answer) -> bytes:
    """A body that its header does not know."""
    first = answer.runs[0]
    body = Body((Call(0, 0, b"invented"),), ())
    blocks = (Block(first.blocks[0].header, body), *first.blocks[1:])
    return ANSWER.encode(replace(answer, runs=(replace(first, blocks=blocks), *answer.runs[1:])))


def rewritten(answer: Answer) -> bytes:
    """A block that says something else, with the certificate of the true one."""
    last = answer.runs[-1]
    header = replace(last.blocks[-1].header, state_root=Hash(bytes(32)))
    blocks = (*last.blocks[:-1], Block(header, last.blocks[-1].body))
    return ANSWER.encode(replace(answer, runs=(*answer.runs[:-1], replace(last, blocks=blocks))))


def endless(answer: Answer) -> bytes:
    """A run whose end never comes: what is beyond is not certified."""
    last = answer.runs[-1]
    headers = tuple(block.header for block in last.blocks)
    cut = Run(last.blocks[:1], headers[1:-1], last.certificate)
    return ANSWER.encode(replace(answer, runs=(*answer.runs[:-1], cut)))


def withheld(answer: Answer) -> bytes:
    return ANSWER.encode(replace(answer, runs=()))


def denied(answer: Answer) -> bytes:
    """It claimed more before it was asked."""
    return ANSWER.encode(replace(answer, finalized=BlockNumber(0), runs=()))


def stopped(answer: Answer) -> bytes:
    return ANSWER.encode(answer)[:-1]


@pytest.mark.parametrize(
    ("lie", "is_forgery"),
    [
        (unsigned, True),
        (invented, False),
        (rewritten, False),
        (endless, False),
        (withheld, False),
        (denied, False),
        (stopped, False),
    ],
)
async def test_a_lying_peer_is_charged_and_the_chain_comes_from_another(
    lie: Callable[[Answer], bytes], is_forgery: bool, tmp_path: Path
) -> None:
    async with chain_at(tmp_path / "old") as old, chain_at(tmp_path / "new") as new:
        await grow(old, (2, 2, 4))
        asked = trio.Event()

        async def answer(peer: PeerId, payload: bytes) -> bytes:
            asked.set()
            request = REQUEST.decode(payload)
            return lie(decode_answer(collect(old.database.blocks, request, BlockNumber(8)), request))

        async with trio.open_nursery() as nursery:
            liar, honest = Network(config(1)), Network(config(3))
            liar.channel(ANNOUNCE_PROTOCOL, CHANNEL_LIMITS)
            liar.serve(PROTOCOL, answer, SERVICE_LIMITS)
            server = sync_of(old, honest)
            for network in (liar, honest):
                network.set_status(old.finalized.height)
                await nursery.start(network.run)
            nursery.start_soon(server.run)
            two = Network(config(2, liar.listening))
            client = sync_of(new, two)
            await nursery.start(two.run)
            nursery.start_soon(client.run)
            await asked.wait()
            await eventually(lambda: is_charged(two, liar.peer_id))
            assert (liar.peer_id in two.banned()) == is_forgery
            assert honest.listening is not None
            two.dial(honest.listening)
            await eventually(lambda: new.finalized.hash == old.finalized.hash)
            nursery.cancel_scope.cancel()
