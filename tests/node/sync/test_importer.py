"""Finalized blocks of others, proved and taken by a real chain."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chainspec.presets import local
from frame.error import Unable
from node.chain import Chain
from node.db.errors import DatabaseFull
from node.sync.importer import COMMIT_BLOCKS, Disagreed, Importer, TooEarly
from node.sync.messages import Run
from primitives.block import Block, block_hash
from primitives.finality import BadProof, Flaw
from primitives.types import BlockHash, BlockNumber, Hash
from tests.node.sync.test_network import build, certify, chain_at, grow


def runs_of(chain: Chain, *lengths: int, first: int = 1) -> tuple[Run, ...]:
    """Blocks of `chain` from `first` on, in runs of these lengths, with what proves them there."""
    runs: list[Run] = []
    for length in lengths:
        heights = [BlockNumber(height) for height in range(first, first + length)]
        blocks = tuple(block for height in heights if (block := chain.database.blocks.block(height)))
        proof = chain.database.blocks.finality_proof(heights[-1])
        assert proof is not None
        runs.append(Run(blocks, proof.headers[1:], proof.certificate))
        first += length
    return tuple(runs)


@asynccontextmanager
async def two_chains(path: Path, *lengths: int) -> AsyncIterator[tuple[Chain, Chain]]:
    """One with runs of these lengths, in epochs of four blocks, and one that is new."""
    async with chain_at(path / "old") as old, chain_at(path / "new") as new:
        await grow(old, lengths)
        yield old, new


async def false_block(chain: Chain, **fields: Any) -> Run:
    """The next block of `chain`, changed, and yet certified."""
    block = await build(chain, chain.finalized.header)
    wrong = Block(replace(block.header, **fields), block.body)
    return Run((wrong,), (), await certify(chain, wrong))


async def test_runs_are_proved_and_taken_with_their_certificates(tmp_path: Path) -> None:
    async with two_chains(tmp_path, 2, 1, 1) as (old, new):
        importer, runs = Importer(new), runs_of(old, 2, 1, 1)
        await importer.prove(runs)
        await importer.take(runs)
        assert new.finalized == old.finalized
        stored = [new.database.blocks.certificate(BlockNumber(height)) for height in range(1, 5)]
        assert stored == [None, *(run.certificate for run in runs)]


async def test_the_parts_of_a_run_are_proved_alone_and_taken_together(tmp_path: Path) -> None:
    async with two_chains(tmp_path, 4) as (old, new):
        importer, runs = Importer(new), runs_of(old, 1, 2, 1)
        assert [run.is_whole for run in runs] == [False, False, True]
        for run in reversed(runs):
            await importer.prove([run])
        await importer.take(runs)
        assert new.finalized == old.finalized


async def test_what_is_not_final_is_refused(tmp_path: Path) -> None:
    async with two_chains(tmp_path, 1, 1) as (old, new):
        first, second = runs_of(old, 1, 1)
        one_signer = replace(second.certificate, bitmap=b"\x01", signatures=second.certificate.signatures[:1])
        with pytest.raises(BadProof) as refusal:
            await Importer(new).prove([first, replace(second, certificate=one_signer)])
        assert refusal.value.flaw == Flaw.BAD_CERTIFICATE


async def test_a_later_epoch_cannot_be_judged_before_it_begins(tmp_path: Path) -> None:
    async with two_chains(tmp_path, 1, 3, 2) as (old, new):
        importer = Importer(new)
        with pytest.raises(TooEarly) as error:
            await importer.prove(runs_of(old, 2, first=5))
        assert error.value.until == 4
        await importer.take(runs_of(old, 1, 3))
        await importer.prove(runs_of(old, 2, first=5))


async def test_what_is_final_here_is_passed_over(tmp_path: Path) -> None:
    async with two_chains(tmp_path, 1, 3, 2) as (old, new):
        importer = Importer(new)
        await importer.take(runs_of(old, 1, 3))
        await importer.prove(runs_of(old, 1, 3))
        await importer.take(runs_of(old, 1, 3, 2))
        await importer.take(runs_of(old, 1, 3, 2))
        assert new.finalized == old.finalized


async def test_a_run_out_of_a_past_epoch_into_the_present_is_refused(tmp_path: Path) -> None:
    async with two_chains(tmp_path, 4, 2) as (old, new):
        importer = Importer(new)
        past, present = runs_of(old, 4, 2)
        await importer.take([past])
        with pytest.raises(BadProof):
            await importer.prove([Run((*past.blocks, *present.blocks), (), past.certificate)])
        with pytest.raises(BadProof):
            await importer.prove([Run((*past.blocks, *present.blocks), (), present.certificate)])


async def test_a_final_block_that_is_invalid_here_is_a_disagreement(tmp_path: Path) -> None:
    async with two_chains(tmp_path, 2) as (old, new):
        importer, runs = Importer(new), runs_of(old, 2)
        false = await false_block(old, state_root=Hash(bytes(32)))
        await importer.prove([false])
        with pytest.raises(Disagreed, match="BAD_STATE_ROOT") as error:
            await importer.take([*runs, false])
        assert (error.value.block, error.value.certificate) == (false.blocks[0], false.certificate)
        assert new.finalized.height == 0
        await importer.take(runs)
        assert new.finalized == old.finalized


async def test_final_blocks_on_another_chain_are_a_disagreement(tmp_path: Path) -> None:
    async with two_chains(tmp_path, 1, 1) as (old, new):
        block = await build(new, new.finalized.header, after_ms=600)
        await new.commit([block], await certify(new, block))
        importer = Importer(new)
        assert block_hash(block.header) != old.database.blocks.hash_at(BlockNumber(1))
        with pytest.raises(Disagreed, match="parent"):
            await importer.take(runs_of(old, 1, first=2))


async def test_a_fork_between_two_runs_is_a_disagreement(tmp_path: Path) -> None:
    async with two_chains(tmp_path, 1) as (old, new):
        false = await false_block(old, parent=BlockHash(bytes(32)))
        with pytest.raises(Disagreed, match="parent"):
            await Importer(new).take([*runs_of(old, 1), false])


async def test_many_blocks_are_committed_in_portions(tmp_path: Path) -> None:
    async with two_chains(tmp_path, *[4] * (COMMIT_BLOCKS // 4 + 1)) as (old, new):
        runs = runs_of(old, *[4] * (COMMIT_BLOCKS // 4 + 1))
        false = await false_block(old, state_root=Hash(bytes(32)))
        with pytest.raises(Disagreed):
            await Importer(new).take([*runs, false])
        assert new.finalized.height == COMMIT_BLOCKS


async def test_a_long_run_is_not_committed_before_its_end(tmp_path: Path) -> None:
    spec = replace(local(), consensus=replace(local().consensus, epoch_length=100))
    async with chain_at(tmp_path / "old", spec) as old, chain_at(tmp_path / "new", spec) as new:
        await grow(old, (COMMIT_BLOCKS + 4,))
        begin, end = runs_of(old, COMMIT_BLOCKS + 2, 2)
        last = end.blocks[-1]
        false = Run(
            (end.blocks[0], Block(replace(last.header, state_root=Hash(bytes(32))), last.body)),
            (),
            end.certificate,
        )
        with pytest.raises(Disagreed):
            await Importer(new).take([begin, false])
        assert new.finalized.height == 0
        await Importer(new).take([begin, end])
        assert new.finalized == old.finalized


async def test_a_machine_that_is_unable_says_so(tmp_path: Path) -> None:
    async with two_chains(tmp_path, 1) as (old, new):

        def broken(*_: object) -> None:
            raise DatabaseFull("no room")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(new.database, "lay", broken)
            with pytest.raises(Unable, match="no room"):
                await Importer(new).take(runs_of(old, 1))
        await Importer(new).take(runs_of(old, 1))
        assert new.finalized == old.finalized


async def test_the_invalid_block_among_others_is_named(tmp_path: Path) -> None:
    async with two_chains(tmp_path, 2) as (old, new):
        runs = runs_of(old, 1, 1)
        wrong = replace(runs[1].blocks[0].header, events_root=Hash(bytes(32)))
        false = Run((Block(wrong, runs[1].blocks[0].body),), (), runs[1].certificate)
        after = Run(
            (Block(replace(wrong, parent=block_hash(wrong)), false.blocks[0].body),), (), false.certificate
        )
        with pytest.raises(Disagreed, match="BAD_EVENTS_ROOT") as error:
            await Importer(new).take([runs[0], false, after])
        assert error.value.block == false.blocks[0]
