"""Real nodes on loopback: a chain that was built on one is replayed by another, across epochs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from chainspec.presets import local
from node.chain import Chain, Plan
from node.db.database import Database
from node.network.host import Network
from node.node import genesis_of
from node.sync.importer import Importer
from node.sync.service import SyncService
from primitives.block import Block, Header, block_hash
from primitives.certificate import Certificate, certificate_of
from primitives.mnemonic import seed_from_uri
from primitives.signing import SigningKey
from primitives.types import AuthorityIndex, PublicKey, TimestampMs, View
from primitives.vote import Vote, VoteKind, vote_message
from runtime.runtime import Runtime
from tests.node.network.networks import PATIENCE_S, config, eventually

KEYS = [SigningKey(seed_from_uri(f"//{name}")) for name in ("Alice", "Bob", "Charlie", "Dave")]
SHORT_EPOCHS = msgspec.structs.replace(
    local(), consensus=msgspec.structs.replace(local().consensus, epoch_length=4)
)


@asynccontextmanager
async def chain_at(path: Path) -> AsyncIterator[Chain]:
    database = Database(path, genesis_of(SHORT_EPOCHS))
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
