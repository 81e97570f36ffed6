"""The chain on a real database and the real runtime."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from chainspec.presets import local
from frame.error import InvalidBlock, InvalidTransaction, Rejection, TransactionError, Unable
from node.chain import Chain, Plan
from node.db.database import Database
from node.genesis import genesis_of
from primitives.block import Block, block_hash
from primitives.certificate import Certificate, certificate_of
from primitives.extrinsic import EXTRINSIC, Extrinsic
from primitives.mnemonic import seed_from_uri
from primitives.signing import SigningKey
from primitives.types import AuthorityIndex, BlockHash, BlockNumber, Hash, PublicKey, TimestampMs, View
from primitives.vote import Vote, VoteKind, vote_message
from runtime.runtime import Runtime
from tests.node.keys import ALICE, BOB, account, transfer

SPEC = local()
KEYS = [SigningKey(seed_from_uri(f"//{name}")) for name in ("Alice", "Bob", "Charlie", "Dave")]


def open_chain(path: Path) -> Chain:
    return Chain(Database(path, genesis_of(SPEC)), Runtime())


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    opened = open_chain(tmp_path / "db")
    yield opened
    opened.database.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Chain]:
    opened = open_chain(tmp_path / "other")
    yield opened
    opened.database.close()


async def build(chain: Chain, parent: Block | None = None, *extrinsics: Extrinsic, author: int = 0) -> Block:
    header = chain.finalized.header if parent is None else parent.header
    plan = Plan(
        parent=header,
        view=View(header.height + 1),
        timestamp_ms=TimestampMs(header.timestamp_ms + 500),
        author=PublicKey(KEYS[author].public_key),
        inherents=lambda _: (),
        candidates=extrinsics,
    )
    return await chain.build(plan)


async def finalize(chain: Chain, block: Block, signers: tuple[int, ...] = (0, 1, 2)) -> Certificate:
    anchor = (await chain.trusted()).anchor
    header, subject = block.header, block_hash(block.header)
    message = vote_message(anchor, VoteKind.FINALIZE, header.epoch, header.view, subject)
    return certificate_of(
        Vote(VoteKind.FINALIZE, header.epoch, header.view, subject, AuthorityIndex(i), KEYS[i].sign(message))
        for i in signers
    )


def sent(chain: Chain, nonce: int = 0, amount: int = 10**9) -> Extrinsic:
    return transfer(SPEC, chain.database.genesis_hash, nonce, amount)


async def free(chain: Chain, key: SigningKey, at: BlockHash | None = None) -> int:
    found = await chain.query(
        lambda state: chain.runtime.query(state, "balances.account", account(key)).free, at
    )
    return int(found)


async def test_a_built_block_is_executed_elsewhere_and_becomes_final(chain: Chain, other: Chain) -> None:
    followed = other.follow()
    before = await free(chain, BOB)
    block = await build(chain, None, sent(chain))
    assert await free(chain, BOB) == before
    assert await free(chain, BOB, block_hash(block.header)) == before + 10**9
    await other.execute(block)
    certificate = await finalize(other, block)
    for each in (chain, other):
        await each.commit([block], certificate)
        assert each.finalized.hash == block_hash(block.header)
        assert await free(each, BOB) == before + 10**9
    assert followed.receive_nowait() == block


async def test_blocks_are_built_on_blocks_that_are_not_final(chain: Chain) -> None:
    first = await build(chain, None, sent(chain))
    second = await build(chain, first, sent(chain, nonce=1))
    assert len(second.body.extrinsics) == 1
    assert len(chain.unfinalized_extrinsics(block_hash(second.header))) == 2
    await chain.commit([first, second], await finalize(chain, second))
    assert chain.finalized.height == 2
    proof = chain.database.blocks.finality_proof(BlockNumber(1))
    assert proof is not None
    assert proof.headers == (first.header, second.header)


async def test_several_certificates_are_stored_with_their_blocks(chain: Chain, other: Chain) -> None:
    first = await build(chain)
    second = await build(chain, first)
    third = await build(chain, second)
    certificates = [await finalize(chain, block) for block in (first, third)]
    for block in (first, second, third):
        await other.execute(block)
    await other.commit([first, second, third], *certificates)
    stored = [other.database.blocks.certificate(BlockNumber(height)) for height in (1, 2, 3)]
    assert stored == [certificates[0], None, certificates[1]]


async def test_a_block_with_a_wrong_state_root_is_invalid_and_leaves_nothing(
    chain: Chain, other: Chain
) -> None:
    block = await build(chain, None, sent(chain))
    forged = msgspec.structs.replace(block.header, state_root=Hash(bytes(32)))
    wrong = Block(forged, block.body)
    with pytest.raises(InvalidBlock) as refusal:
        await other.execute(wrong)
    assert refusal.value.rejection == Rejection.BAD_STATE_ROOT
    with pytest.raises(Unable):
        await other.execute(
            Block(msgspec.structs.replace(block.header, parent=block_hash(forged)), block.body)
        )
    await other.execute(block)


async def test_a_block_that_breaks_a_rule_is_invalid_and_one_without_its_parent_is_not(
    chain: Chain, other: Chain
) -> None:
    block = await build(chain)
    late = msgspec.structs.replace(block.header, timestamp_ms=TimestampMs(1))
    with pytest.raises(InvalidBlock):
        await other.execute(Block(late, block.body))
    child = await build(chain, block)
    with pytest.raises(Unable):
        await other.execute(child)


async def test_the_finalized_chain_survives_a_restart(chain: Chain, tmp_path: Path) -> None:
    block = await build(chain, None, sent(chain))
    await chain.commit([block], await finalize(chain, block))
    chain.database.close()
    chain.database = open_chain(tmp_path / "db").database
    assert Chain(chain.database, Runtime()).finalized.hash == block_hash(block.header)


async def test_an_extrinsic_is_judged_on_the_finalized_state(chain: Chain) -> None:
    good = sent(chain)
    assert (await chain.validate(EXTRINSIC.encode(good), good)).requires == ()
    block = await build(chain, None, good)
    await chain.commit([block], await finalize(chain, block))
    with pytest.raises(InvalidTransaction) as refusal:
        await chain.validate(EXTRINSIC.encode(good), good)
    assert refusal.value.reason == TransactionError.STALE_NONCE
    assert await free(chain, ALICE) < 10**15


async def test_followers_hear_of_blocks_in_order_whoever_commits_them(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.chain.FOLLOWER_BLOCKS_MAX", 1)
    followers = [chain.follow(), chain.follow()]
    blocks = [await build(chain)]
    for _ in range(5):
        blocks.append(await build(chain, blocks[-1]))
    heard: list[list[int]] = [[], []]
    certificates = [await finalize(chain, block) for block in (blocks[3], blocks[5])]

    async def follow(number: int) -> None:
        async for block in followers[number]:
            heard[number].append(block.header.height)
            if len(heard[number]) == len(blocks):
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(chain.commit, blocks[:4], certificates[0])
        while chain.finalized.height < 4:
            await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(chain.commit, blocks, certificates[1])
        with trio.move_on_after(0.2):
            while chain.finalized.height < 6:  # which it must not reach
                await trio.lowlevel.checkpoint()
        nursery.start_soon(follow, 0)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(follow, 1)
    assert heard == [[1, 2, 3, 4, 5, 6]] * 2


async def test_a_block_that_became_final_meanwhile_is_neither_executed_nor_judged_again(
    chain: Chain, other: Chain
) -> None:
    block = await build(chain)
    child = await build(chain, block)
    certificate = await finalize(chain, child)
    for each in (block, child):
        await other.execute(each)
    await other.commit([block, child], certificate)
    await other.execute(block)
    await other.commit([block, child], certificate)
    assert other.finalized.hash == block_hash(child.header)
    rival = msgspec.structs.replace(block.header, timestamp_ms=TimestampMs(block.header.timestamp_ms + 1))
    with pytest.raises(Unable):
        await other.execute(Block(rival, block.body))
