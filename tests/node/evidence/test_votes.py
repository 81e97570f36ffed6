"""The record of votes: what is remembered, and what a restart finds again."""

from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from node.evidence import votes
from node.evidence.votes import BATCH_S, FILES_MAX, REMEMBERED_MAX, SLOT_BYTES, VoteRecord
from primitives.types import AuthorityIndex, EpochIndex, Signature, View
from primitives.vote import NO_BLOCK, Vote, VoteKind


def vote(view: int, signer: int = 0, epoch: int = 1, kind: VoteKind = VoteKind.NULLIFY) -> Vote:
    block = NO_BLOCK if kind == VoteKind.NULLIFY else bytes(32)
    return Vote(kind, EpochIndex(epoch), View(view), block, AuthorityIndex(signer), Signature(bytes(64)))


async def write(record: VoteRecord, *heard: Vote) -> None:
    """Note votes, and have them written."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(record.run)
        for one in heard:
            record.note(one)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


def files_in(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def test_a_vote_is_noted_once(tmp_path: Path) -> None:
    record = VoteRecord(tmp_path)
    for one in (vote(1), vote(1), vote(1, signer=1)):
        record.note(one)
    assert record.page(0, 10) == (2, [vote(1), vote(1, signer=1)])
    assert record.page(2, 10) == (2, [])


def test_a_reader_goes_on_where_it_was_and_the_oldest_are_forgotten(tmp_path: Path) -> None:
    record = VoteRecord(tmp_path)
    for view in range(REMEMBERED_MAX + 10):
        record.note(vote(view))
    pages = [record.page(0, 100)]
    while pages[-1][1]:
        pages.append(record.page(pages[-1][0], 100))
    seen = [one.view for _, page in pages for one in page]
    assert len(seen) == REMEMBERED_MAX
    assert seen[0] == 10
    assert all(later == earlier + 1 for earlier, later in pairwise(seen))
    record.note(vote(10**6))
    assert record.page(pages[-1][0], 100)[1] == [vote(10**6)]


async def test_a_restart_finds_the_votes_again(tmp_path: Path) -> None:
    first = [vote(1, 0), vote(1, 65535, 2**63 - 1, VoteKind.FINALIZE)]
    await write(VoteRecord(tmp_path), *first)
    again = VoteRecord(tmp_path)
    assert again.page(0, 10)[1] == first
    assert again.of(EpochIndex(1)) == [vote(1, 0)]
    await write(again, vote(2, 0, 2**63 - 1))
    assert VoteRecord(tmp_path).page(0, 10)[1] == [*first, vote(2, 0, 2**63 - 1)]


async def test_a_torn_or_spoilt_slot_costs_itself_alone(tmp_path: Path) -> None:
    await write(VoteRecord(tmp_path), *(vote(view) for view in range(4)))
    [path] = files_in(tmp_path)
    data = bytearray(path.read_bytes())
    data[SLOT_BYTES + 9] ^= 1
    path.write_bytes(data[:-5])
    again = VoteRecord(tmp_path)
    assert again.page(0, 10)[1] == [vote(0), vote(2)]
    await write(again, vote(9))
    assert VoteRecord(tmp_path).page(0, 10)[1] == [vote(0), vote(2), vote(9)]


async def test_old_epochs_go(tmp_path: Path) -> None:
    for epoch in range(1, 5):
        await write(VoteRecord(tmp_path), vote(1, epoch=epoch))
    assert VoteRecord(tmp_path).page(0, 10)[1] == [vote(1, epoch=3), vote(1, epoch=4)]


async def test_the_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(votes, "FILE_VOTES_MAX", 2)
    await write(VoteRecord(tmp_path), *(vote(view) for view in range(100)))
    files = files_in(tmp_path)
    assert len(files) == FILES_MAX
    assert all(path.stat().st_size == 2 * SLOT_BYTES for path in files)
    assert VoteRecord(tmp_path).page(0, 100)[1][-1] == vote(99)


async def test_a_disk_that_takes_nothing_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    record = VoteRecord(tmp_path / "file")
    await write(record, vote(1))
    assert record.page(0, 10)[1] == [vote(1)]


@pytest.fixture
def autojump_clock() -> MockClock:
    """Jumps over idle time; longer than a write takes, during which everything looks idle."""
    return MockClock(autojump_threshold=0.05)


async def test_a_batch_is_written_while_the_node_runs(tmp_path: Path, autojump_clock: MockClock) -> None:
    record = VoteRecord(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(record.run)
        record.note(vote(1))
        await trio.sleep(4 * BATCH_S)
        assert VoteRecord(tmp_path).page(0, 10)[1] == [vote(1)]
        nursery.cancel_scope.cancel()
