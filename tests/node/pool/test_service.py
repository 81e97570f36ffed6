"""The pool's shell over a network and a chain in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from frame.error import InvalidTransaction, TransactionError
from node.network.channel import Received
from node.network.identity import PeerId
from node.pool.core import Limits, PoolRefused, Refusal
from node.pool.messages import decode_batch, encode_batches
from node.pool.service import SEEN_BLOCKS, PoolService
from primitives.block import Block
from primitives.codec import CodecError
from primitives.extrinsic import EXTRINSIC
from primitives.types import AccountId, Signature
from tests.node.pool.samples import FakeChain, FakeNetwork, block_of, encoded, extrinsic_of

A, B = PeerId("a"), PeerId("b")


@dataclass
class Setup:
    pool: PoolService
    chain: FakeChain
    network: FakeNetwork
    finalized: trio.MemorySendChannel[Block]

    async def hear(self, peer: PeerId, *extrinsics: bytes) -> None:
        """Let a neighbour tell of `extrinsics`, and the pool come to rest."""
        for frame in encode_batches(extrinsics):
            await self.network.lane.sending.send(Received(peer, frame))
        await wait_all_tasks_blocked(0.001)

    async def finalize(self, block: Block) -> None:
        await self.finalized.send(block)
        await wait_all_tasks_blocked(0.001)

    async def told(self) -> tuple[tuple[PeerId, ...], tuple[bytes, ...]]:
        """The next batch that the pool tells, and to whom."""
        peers, frame = await self.network.lane.sent.receive()
        return peers, decode_batch(frame)


@asynccontextmanager
async def running() -> AsyncIterator[Setup]:
    chain, network = FakeChain(), FakeNetwork()
    sending, receiving = trio.open_memory_channel[Block](100)
    setup = Setup(PoolService(chain, network, receiving, Limits()), chain, network, sending)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setup.pool.run)
        yield setup
        nursery.cancel_scope.cancel()


async def test_a_submitted_extrinsic_is_kept_and_told_to_everybody(autojump_clock: MockClock) -> None:
    async with running() as setup:
        data = encoded(1, 0)
        hash_ = await setup.pool.submit(data)
        assert await setup.told() == ((A, B, PeerId("c")), (data,))
        assert hash_ in setup.pool.core
        assert setup.pool.core.best(10_000) == (extrinsic_of(1, 0),)


async def test_a_heard_extrinsic_is_told_to_all_but_its_source(autojump_clock: MockClock) -> None:
    async with running() as setup:
        await setup.hear(A, encoded(1, 0), encoded(2, 0))
        assert await setup.told() == ((B, PeerId("c")), (encoded(1, 0), encoded(2, 0)))


async def test_what_comes_within_one_interval_shares_a_batch(autojump_clock: MockClock) -> None:
    async with running() as setup:
        for signer in range(5):
            await setup.pool.submit(encoded(signer, 0))
        _, extrinsics = await setup.told()
        assert len(extrinsics) == 5


async def test_an_extrinsic_heard_twice_is_validated_once(autojump_clock: MockClock) -> None:
    async with running() as setup:
        await setup.hear(A, encoded(1, 0))
        await setup.hear(B, encoded(1, 0))
        assert setup.chain.validations == 1


async def test_a_submission_that_is_malformed_invalid_or_known_is_refused_by_name() -> None:
    async with running() as setup:
        with pytest.raises(CodecError):
            await setup.pool.submit(b"nonsense")
        setup.chain.nonces[AccountId(b"\x01" * 32)] = 3
        with pytest.raises(InvalidTransaction) as invalid:
            await setup.pool.submit(encoded(1, 2))
        assert invalid.value.reason is TransactionError.STALE_NONCE
        await setup.pool.submit(encoded(2, 0))
        with pytest.raises(PoolRefused) as refused:
            await setup.pool.submit(encoded(2, 0))
        assert refused.value.refusal is Refusal.ALREADY_KNOWN
        assert setup.pool.refused == {"STALE_NONCE": 1, "ALREADY_KNOWN": 1}
        assert len(setup.pool.core) == 1


async def test_a_malformed_batch_costs_its_sender_and_nothing_else() -> None:
    async with running() as setup:
        await setup.network.lane.sending.send(Received(A, b"\xff"))
        await setup.hear(B, encoded(1, 0))
        assert setup.network.penalties == [(A, "malformed transaction batch")]
        assert len(setup.pool.core) == 1


async def test_a_bad_item_costs_its_sender_and_spares_the_others() -> None:
    forged = EXTRINSIC.encode(replace(extrinsic_of(1, 0), signature=Signature(b"\x01" * 64)))
    async with running() as setup:
        await setup.hear(A, b"nonsense", forged, encoded(2, 0))
        assert setup.network.penalties == [
            (A, "malformed extrinsic"),
            (A, "extrinsic refused: BAD_SIGNATURE"),
        ]
        assert setup.pool.core.best(10_000) == (extrinsic_of(2, 0),)


async def test_an_extrinsic_from_a_peer_who_is_ahead_gets_a_second_chance(autojump_clock: MockClock) -> None:
    async with running() as setup:
        setup.chain.broke.add(AccountId(b"\x01" * 32))
        await setup.hear(A, encoded(1, 0))
        await setup.hear(B, encoded(1, 0))
        assert (setup.chain.validations, len(setup.pool.core)) == (1, 0)
        setup.chain.broke.clear()
        await setup.finalize(block_of(1))
        assert len(setup.pool.core) == 1
        assert setup.network.penalties == []


async def test_a_refused_extrinsic_is_not_judged_again_for_a_while() -> None:
    async with running() as setup:
        setup.chain.nonces[AccountId(b"\x01" * 32)] = 1
        await setup.hear(A, encoded(1, 0))
        await setup.hear(B, encoded(1, 0))
        assert setup.chain.validations == 1
        for turn in (1, 2):
            await setup.finalize(block_of(turn * SEEN_BLOCKS))
        await setup.hear(B, encoded(1, 0))
        assert setup.chain.validations == 2


async def test_a_finalized_block_clears_the_pool_and_has_the_next_one_judged_again() -> None:
    async with running() as setup:
        for nonce in range(3):
            await setup.pool.submit(encoded(1, nonce))
        setup.chain.nonces[AccountId(b"\x01" * 32)] = 1
        await setup.finalize(block_of(1, extrinsic_of(1, 0)))
        assert setup.pool.core.best(10_000) == (extrinsic_of(1, 1), extrinsic_of(1, 2))
        setup.chain.broke.add(AccountId(b"\x01" * 32))
        await setup.finalize(block_of(2, extrinsic_of(1, 1)))
        assert setup.pool.core.best(10_000) == ()


async def test_what_waits_long_is_told_again(autojump_clock: MockClock) -> None:
    async with running() as setup:
        await setup.hear(A, encoded(1, 0))
        assert (await setup.told())[0] == (B, PeerId("c"))
        await setup.finalize(block_of(20))
        assert await setup.told() == ((A, B, PeerId("c")), (encoded(1, 0),))


async def test_an_arrival_wakes_who_waits_for_it() -> None:
    async with running() as setup:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(setup.pool.wait_for_arrival, 0)
            await setup.pool.submit(encoded(1, 0))
        assert await setup.pool.wait_for_arrival(0) == 1
