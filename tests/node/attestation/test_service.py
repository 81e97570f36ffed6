"""The shell of attesting over a chain, a network and a worker in memory."""

import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from frame.state import DictState, StateView
from inference.certificate import encode_verdict
from inference.evaluation import Metric
from inference.refusal import Refusal
from inference.unable import Unable
from node.attestation.core import AttestationCore, Word
from node.attestation.journal import Journal, JournalError
from node.attestation.messages import Told, ToldAbstain, ToldCommit, ToldReveal, decode_told, encode_told
from node.attestation.service import EARLY_BLOCKS, AttestationService, Parts, Seating
from node.blobs.messages import BlobId, blob_id, manifest_of
from node.blobs.service import BlobTooLong, BlobUnavailable
from node.network.channel import Received
from node.network.identity import PeerId
from primitives.block import Block
from primitives.job_message import JobPhase
from primitives.signing import verify
from primitives.types import BlockNumber, Hash
from runtime.jobs import EvaluateTask, InferTask, OpenJob, ProveTask, Task, job_call
from tests.node.attestation.jobs import BLOB, GENESIS, SEEDS, job_of, seeds_of, tells, with_seat, worked
from tests.node.attestation.worker import FakeWorker
from tests.node.pool.samples import FakeHead, FakeNetwork, block_of

A, B, C = PeerId("a"), PeerId("b"), PeerId("c")
REFUSAL = Refusal(node="node 3", reason="it may overflow")
RESULT = encode_verdict(REFUSAL)
DATASET = Hash(b"\xda" * 32)
INFER = InferTask(blob=BLOB, certificate=b"", input=b"x", given=None)
EVALUATE = EvaluateTask(
    blob=BLOB, certificate=b"", dataset=DATASET, size_bytes=9, rows=1, metric=Metric.CLASSIFICATION
)


@dataclass
class FakeChain:
    """A finalized state that is a list of open jobs."""

    jobs: Sequence[OpenJob] = ()
    finalized: FakeHead = field(default_factory=lambda: FakeHead(BlockNumber(11)))

    async def query(self, question: Callable[[StateView], Any], /) -> Any:
        await trio.lowlevel.checkpoint()
        return question(DictState())


@dataclass
class FakeBlobs:
    """One file, if anybody has it."""

    is_there: bool = True
    missing: bytes = b""
    size_bytes: int = 3
    kept: list[bytes] = field(default_factory=list)
    hanging: set[bytes] = field(default_factory=set)
    """What a peer promises, and does not send."""

    hung: list[bytes] = field(default_factory=list)
    """What was waited for, until nobody wanted it any more."""

    async def put(self, data: bytes, /) -> BlobId:
        await trio.lowlevel.checkpoint()
        self.kept.append(data)
        return blob_id(manifest_of(data))

    async def ensure(self, blob: BlobId, /, *, bytes_max: int) -> None:
        if blob in self.hanging:
            try:
                await trio.sleep_forever()
            finally:
                self.hung.append(blob)
        await self.get(blob, bytes_max=bytes_max)

    async def get(self, blob: BlobId, /, *, bytes_max: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if self.size_bytes > bytes_max:
            raise BlobTooLong(blob, self.size_bytes, bytes_max)
        if not self.is_there or blob == self.missing:
            raise BlobUnavailable("nobody has it")
        assert blob in (BlobId(BLOB), BlobId(DATASET))
        return b"abc"


class FullDisk(Journal):
    """Keeps nothing."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.asked = Event()

    def write(self, word: Word, output: bytes | None = None) -> None:
        self.asked.set()
        raise JournalError("the disk is full")


@dataclass
class Setup:
    """A service and everything around it."""

    directory: Path
    chain: FakeChain = field(default_factory=FakeChain)
    network: FakeNetwork = field(default_factory=FakeNetwork)
    blobs: FakeBlobs = field(default_factory=FakeBlobs)
    worker: FakeWorker = field(default_factory=lambda: FakeWorker(REFUSAL))
    validates: bool = True
    journal: Journal | None = None

    def __post_init__(self) -> None:
        journal = self.journal or Journal(self.directory)
        self.blocks, receiving = trio.open_memory_channel[Block](10)
        parts = Parts(
            chain=self.chain,
            network=self.network,
            finalized=receiving,
            open_jobs=lambda _: self.chain.jobs,
            genesis=GENESIS,
            verifier=verify,
        )
        seating = Seating(
            seeds=seeds_of(SEEDS[0]), worker=self.worker, blobs=self.blobs, journal=journal, secrets={}
        )
        self.service = AttestationService(parts, seating if self.validates else None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.service.run)
            yield
            nursery.cancel_scope.cancel()

    async def finalize(self, height: int, *jobs: OpenJob) -> None:
        """A final block that leaves these jobs open."""
        self.chain.jobs, self.chain.finalized.height = jobs, BlockNumber(height)
        await self.blocks.send(block_of(height))

    async def hear(self, peer: PeerId, told: Told) -> None:
        """Let a neighbour tell."""
        await self.network.lane.sending.send(Received(peer, encode_told(told)))
        await wait_all_tasks_blocked(0.001)

    async def told(self) -> tuple[tuple[PeerId, ...], Told]:
        """The next message that the service tells, and to whom."""
        peers, frame = await self.network.lane.sent.receive()
        return peers, decode_told(frame)


def commit_of(seat: int, result: bytes = RESULT) -> ToldCommit:
    """What another validator says about the job."""
    (told,) = tells(worked(AttestationCore(seeds_of(SEEDS[seat]), GENESIS, ()), job_of(), result))
    assert isinstance(told, ToldCommit)
    return told


async def test_a_validator_computes_keeps_and_tells_its_word_and_reveals_it_later(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    async with setup.running():
        await setup.finalize(12, job_of())
        peers, told = await setup.told()
        assert (peers, told) == ((A, B, C), commit_of(0))
        assert Journal(tmp_path).read() == [Word(job_of().id, RESULT)]
        assert setup.service.inherents(DictState()) == [job_call(told.message, None)]
        committed = with_seat(job_of(), 0, has_spoken=True, commitment=commit_of(0).message.commitment)
        await setup.finalize(13, dataclasses.replace(committed, phase=JobPhase.REVEAL))
        _, told = await setup.told()
        assert isinstance(told, ToldReveal)
        assert told.result == RESULT
        assert setup.service.inherents(DictState()) == [job_call(told.message, RESULT)]
    assert setup.worker.closed


async def test_a_job_that_was_open_before_the_start_is_worked_on(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.chain.jobs = [job_of()]
    async with setup.running():
        assert (await setup.told())[1] == commit_of(0)


async def test_a_restart_tells_what_was_kept_without_computing(tmp_path: Path) -> None:
    Journal(tmp_path).write(Word(job_of().id, b"kept"))
    setup = Setup(tmp_path)
    setup.chain.jobs = [job_of()]
    async with setup.running():
        assert (await setup.told())[1] == commit_of(0, b"kept")
        assert setup.worker.asked == []


async def test_a_worker_that_fails_leads_to_an_abstention(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.worker.trouble = Unable("it hung")
    async with setup.running():
        await setup.finalize(12, job_of())
        assert isinstance((await setup.told())[1], ToldAbstain)


async def test_a_file_that_is_longer_than_was_paid_for_is_refused_unseen(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.blobs.size_bytes = 64 * 1024 * 1024
    async with setup.running():
        await setup.finalize(12, job_of())
        refusal = Refusal(node="model", reason="the file has 67108864 bytes, not 3")
        assert (await setup.told())[1] == commit_of(0, encode_verdict(refusal))
        assert setup.worker.asked == []


async def test_blocks_do_not_wait_for_a_worker_that_hangs_in_its_self_test(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.worker.may_be_tested.clear()
    async with setup.running():
        with trio.fail_after(10):
            for height in range(12, 100):
                await setup.finalize(height, job_of(closes=1000))
        assert setup.worker.asked == []
        setup.worker.may_be_tested.set()
        assert (await setup.told())[1] == commit_of(0)


async def test_a_file_that_nobody_gives_is_asked_for_again(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.blobs.is_there = False
    async with setup.running():
        await setup.finalize(12, job_of())
        await wait_all_tasks_blocked(0.01)
        setup.blobs.is_there = True
        await setup.finalize(14, job_of())
        assert (await setup.told())[1] == commit_of(0)


async def test_a_file_that_is_never_sent_keeps_no_other_job_waiting(tmp_path: Path) -> None:
    slow, setup = Hash(b"\x51" * 32), Setup(tmp_path)
    setup.blobs.hanging.add(slow)
    waiting = [
        dataclasses.replace(job_of(number), task=ProveTask(blob=slow, size_bytes=3))
        for number in range(2, 40)
    ]
    async with setup.running():
        await setup.finalize(12, *waiting, job_of())
        assert (await setup.told())[1] == commit_of(0)
        assert setup.blobs.hung == []
        await setup.finalize(13, waiting[0])
        await wait_all_tasks_blocked(0.01)
        assert len(setup.blobs.hung) == len(waiting) - 1


async def test_jobs_are_computed_one_at_a_time(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.worker.may_go_on.clear()
    async with setup.running():
        await setup.finalize(12, job_of(1), job_of(2), job_of(3))
        await trio.to_thread.run_sync(setup.worker.started.wait)
        await wait_all_tasks_blocked(0.01)
        assert len(setup.worker.asked) == 1
        await setup.finalize(13)
        await wait_all_tasks_blocked(0.01)
        setup.worker.may_go_on.set()
        await wait_all_tasks_blocked(0.05)
    assert len(setup.worker.asked) == 1, "what was dropped in the meantime is not begun"


@pytest.mark.parametrize("task", [job_of().task, EVALUATE, INFER])
async def test_who_was_to_give_a_file_is_blamed_for_withholding_it(tmp_path: Path, task: Task) -> None:
    """The file to prove, the data to measure on: but not the model of somebody else."""
    setup = Setup(tmp_path)
    setup.blobs.missing = BLOB if task is not EVALUATE else DATASET
    async with setup.running():
        await setup.finalize(40, dataclasses.replace(job_of(), task=task))
        _, told = await setup.told()
        assert isinstance(told, ToldAbstain)
        assert told.message.cannot_open == (task is not INFER)


async def test_a_word_that_cannot_be_kept_is_not_told(tmp_path: Path) -> None:
    journal = FullDisk(tmp_path)
    setup = Setup(tmp_path, journal=journal)
    async with setup.running():
        await setup.finalize(12, job_of())
        await trio.to_thread.run_sync(journal.asked.wait)
        await setup.finalize(20, job_of())
        await wait_all_tasks_blocked(0.01)
        await setup.hear(A, commit_of(1))
        assert await setup.told() == ((B, C), commit_of(1))


async def test_an_engine_that_is_not_exact_attests_nothing_and_still_relays(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.worker.is_broken = True
    async with setup.running():
        await setup.finalize(12, job_of())
        await trio.to_thread.run_sync(setup.worker.tested.wait)
        await wait_all_tasks_blocked(0.01)
        await setup.hear(A, commit_of(1))
        assert await setup.told() == ((B, C), commit_of(1))
        assert setup.worker.asked == []


async def test_a_full_node_keeps_and_tells_on_and_says_nothing_itself(tmp_path: Path) -> None:
    setup = Setup(tmp_path, validates=False)
    async with setup.running():
        await setup.finalize(12, job_of())
        await wait_all_tasks_blocked(0.01)
        await setup.hear(A, commit_of(1))
        assert await setup.told() == ((B, C), commit_of(1))
        await setup.hear(B, commit_of(1))
        await setup.hear(B, commit_of(2))
        assert await setup.told() == ((A, C), commit_of(2))
        assert len(setup.service.inherents(DictState())) == 2
    assert setup.network.penalties == []


async def test_bad_messages_cost_their_sender(tmp_path: Path) -> None:
    setup = Setup(tmp_path, validates=False)
    forged = dataclasses.replace(job_of(), seats=job_of().seats[2:])
    async with setup.running():
        await setup.finalize(12, forged)
        await wait_all_tasks_blocked(0.01)
        await setup.network.lane.sending.send(Received(B, b"\xff"))
        await setup.hear(A, commit_of(0))
    assert setup.network.penalties == [(B, "malformed job message"), (A, "forged job message")]


async def test_a_message_from_ahead_waits_for_its_block(tmp_path: Path) -> None:
    setup = Setup(tmp_path, validates=False)
    async with setup.running():
        await wait_all_tasks_blocked(0.01)
        await setup.hear(A, commit_of(1))
        await setup.finalize(12, job_of())
        assert await setup.told() == ((B, C), commit_of(1))


async def test_a_message_about_no_job_is_dropped_after_a_while(tmp_path: Path) -> None:
    setup = Setup(tmp_path, validates=False)
    async with setup.running():
        await wait_all_tasks_blocked(0.01)
        await setup.hear(A, commit_of(1))
        for height in range(12, 13 + EARLY_BLOCKS):
            await setup.finalize(height)
            await wait_all_tasks_blocked(0.001)
        await setup.finalize(30, job_of())
        await wait_all_tasks_blocked(0.01)
        assert setup.service.inherents(DictState()) == []


async def test_the_end_of_the_service_ends_a_computation(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.worker.may_go_on.clear()
    with trio.fail_after(5):
        async with setup.running():
            await setup.finalize(12, job_of())
            await trio.to_thread.run_sync(setup.worker.started.wait)
    assert setup.worker.closed
    assert Journal(tmp_path).read() == []


async def test_a_block_that_is_not_the_newest_is_passed_over(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    async with setup.running():
        await wait_all_tasks_blocked(0.01)
        setup.chain.jobs, setup.chain.finalized.height = [job_of()], BlockNumber(13)
        await setup.blocks.send(block_of(12))
        await wait_all_tasks_blocked(0.01)
        assert setup.worker.asked == []
        await setup.blocks.send(block_of(13))
        assert (await setup.told())[1] == commit_of(0)
