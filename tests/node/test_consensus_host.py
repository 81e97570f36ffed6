"""What the engine hears of a chain that refuses, cannot tell, or fails."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from node.authorship.author import Author
from node.chain import Chain
from node.consensus.interface import Build, Verdict
from node.consensus_host import ConsensusHost, Reports
from node.db.database import Database
from node.evidence.votes import VoteRecord
from node.genesis import genesis_of
from primitives.block import Block, block_hash
from primitives.types import BlockHash, BlockNumber, EpochIndex, Hash, TimestampMs, View
from runtime.runtime import Runtime
from tests.node.test_chain import SPEC, build, finalize


class Failing(Chain):
    """A chain with a fault that only some block brings to light."""

    has_fault = False

    async def execute(self, *blocks: Block) -> None:
        if self.has_fault:
            raise ZeroDivisionError
        await super().execute(*blocks)


class FailingAuthor:
    async def build(self, *_: Any, **__: Any) -> Block:
        raise ZeroDivisionError


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Failing]:
    opened = Failing(Database(tmp_path / "db", genesis_of(SPEC)), Runtime())
    yield opened
    opened.database.close()


@pytest.fixture
def host(chain: Chain, tmp_path: Path) -> ConsensusHost:
    votes = VoteRecord(tmp_path / "votes")
    reports = Reports(charge=lambda *_: None, found=lambda _: None, votes=votes)
    return ConsensusHost(chain, cast(Author, FailingAuthor()), reports)


async def test_a_block_is_valid_invalid_or_not_to_be_judged_here(host: ConsensusHost, chain: Chain) -> None:
    block = await build(chain)
    forged = msgspec.structs.replace(block.header, state_root=Hash(bytes(32)))
    orphan = msgspec.structs.replace(block.header, parent=BlockHash(bytes(32)))
    assert await host.verify(block) is Verdict.VALID
    assert await host.verify(Block(forged, block.body)) is Verdict.INVALID
    assert await host.verify(Block(orphan, block.body)) is Verdict.UNABLE


async def test_a_fault_of_ours_costs_a_view_and_not_the_node(
    host: ConsensusHost, chain: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    block = await build(chain)
    chain.has_fault = True
    request = Build(EpochIndex(1), View(1), chain.finalized.header, TimestampMs(1), is_empty=False)
    with caplog.at_level(logging.CRITICAL):
        assert await host.verify(block) is Verdict.UNABLE
        assert await host.build(request) is None


async def test_the_position_moves_with_the_chain(host: ConsensusHost, chain: Chain) -> None:
    before = await host.position()
    assert (before.tip.height, before.final, before.committed) == (0, None, ())
    block = await build(chain)
    certificate = await finalize(chain, block)
    await chain.commit([block], certificate)
    after = await host.position()
    assert after.tip == block.header
    assert after.final == certificate
    assert after.committed == (block_hash(block.header),)
    assert after.epoch.committee == before.epoch.committee
    assert after.epoch.anchor.height == BlockNumber(0)
