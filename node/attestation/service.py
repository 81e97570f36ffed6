"""The shell of attesting: follows the finalized state, has the worker compute, tells and hears messages.

Every node keeps and tells on job messages, so that they reach whoever makes the next block; a validator also
does the work of its seat.
"""

import logging
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

import trio

from frame.sealing import SealingKey
from frame.state import StateView
from node.attestation.computation import (
    Material,
    Worker,
    compute,
    opened,
    unfitness,
    wrong_dataset,
    wrong_length,
)
from node.attestation.core import (
    Action,
    AttestationCore,
    Compute,
    Computed,
    Drop,
    Finalized,
    Forget,
    Input,
    Persist,
    Publish,
    Result,
    Tell,
    Trouble,
)
from node.attestation.journal import Journal, JournalError
from node.attestation.messages import FRAME_BYTES_MAX, PROTOCOL, Told, decode_told, encode_told
from node.attestation.pool import MessagePool, Slot, Verdict
from node.blobs.messages import BLOB_BYTES_MAX, BlobId
from node.blobs.service import BlobTooLong
from node.blobs.store import BlobError
from node.network.channel import ChannelLimits, Received
from node.network.gossip import GossipNetwork
from primitives.block import Block
from primitives.certificate import Verifier
from primitives.codec import CodecError
from primitives.extrinsic import Call
from primitives.job_message import phase_of
from primitives.types import BlockHash, BlockNumber, Hash, PublicKey, Seed
from runtime.jobs import EvaluateTask, InferTask, OpenJob, ProveTask, Task

T = TypeVar("T")

LOGGER: Final = logging.getLogger(__name__)

EARLY_MAX: Final = 256
"""Messages of peers who are some blocks ahead that are held until this node has caught up."""

EARLY_BLOCKS: Final = 4
"""For so many blocks; by then the sender has repeated its message."""

INPUTS_MAX: Final = 16
"""Inputs that wait for the core; more finalized blocks than that wait where they come from."""

MALFORMED_COST: Final = 20
FORGED_COST: Final = 10

CHANNEL_LIMITS: Final = ChannelLimits(
    frame_bytes_max=FRAME_BYTES_MAX,
    queue_frames_max=1024,
    queue_bytes_max=1024 * 1024,
    inbox_frames_max=1024,
    inbox_bytes_max=2 * 1024 * 1024,
)


class Head(Protocol):
    """The last finalized block."""

    @property
    def height(self) -> BlockNumber: ...


class Chain(Protocol):
    """What attesting asks of the chain."""

    @property
    def finalized(self) -> Head: ...

    async def query(self, question: Callable[[StateView], T], /) -> T:
        """What `question` finds in the finalized state, in a worker thread."""
        ...


class Blobs(Protocol):
    """Who gives model files."""

    async def ensure(self, blob: BlobId, /, *, bytes_max: int) -> None:
        """Have a blob here, as long as there is room. Raises BlobTooLong, or another BlobError."""
        ...

    async def get(self, blob: BlobId, /, *, bytes_max: int) -> bytes:
        """Likewise, and read it."""
        ...

    async def put(self, data: bytes, /) -> BlobId:
        """Keep a blob as long as there is room, and give it to whoever asks. Raises BlobError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the service is made of on every node."""

    chain: Chain
    network: GossipNetwork
    finalized: AsyncIterable[Block]
    """Every block from now on as it becomes final."""

    open_jobs: Callable[[StateView], Sequence[OpenJob]]
    genesis: BlockHash
    verifier: Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Seating:
    """What a validator has besides."""

    seeds: Mapping[PublicKey, Seed]
    """Of the session keys; may grow."""

    worker: Worker
    """Closed when the service ends."""

    blobs: Blobs
    journal: Journal
    secrets: Mapping[SealingKey, Seed]
    """Of the sealing keys; may grow."""


class AttestationService:
    """Implements node.authorship.author.InherentSource."""

    def __init__(self, parts: Parts, seating: Seating | None) -> None:
        """`seating` is None for a node that does not validate. Raises JournalError."""
        self._parts = parts
        self._seating = seating
        self._candidate = (
            None if seating is None else AttestationCore(seating.seeds, parts.genesis, seating.journal.read())
        )
        self._core: AttestationCore | None = None
        """None before the engine was examined, or if this node does not attest."""

        self._seen: Finalized | None = None
        self._pool = MessagePool(parts.genesis, parts.verifier)
        self._channel = parts.network.channel(PROTOCOL, CHANNEL_LIMITS)
        self._early: dict[Slot, tuple[Received, BlockNumber]] = {}
        self._inputs, self._observed = trio.open_memory_channel[Input](INPUTS_MAX)
        self._working = trio.CapacityLimiter(1 if seating is None else seating.worker.calls_max)
        self._lane = trio.Lock()
        """One job is computed at a time: files of more would take too much memory."""

        self._fetching: dict[Hash, trio.CancelScope] = {}
        """For every job that has yet to come to an outcome, what ends its fetching."""

    def inherents(self, state: StateView) -> Sequence[Call]:
        """As in InherentSource; called in a worker thread."""
        return self._pool.inherents(self._parts.open_jobs(state))

    async def run(self) -> None:
        """Serve until cancelled; ends the worker."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow)
                nursery.start_soon(self._listen)
                nursery.start_soon(self._examine)
                async for observed in self._observed:
                    await self._handle(observed, nursery)
        finally:
            if self._seating is not None:
                self._seating.worker.close()

    async def _examine(self) -> None:
        """A validator whose engine is not exact says so and attests nothing; blocks do not wait for that."""
        if self._seating is None:
            return
        reason = await self._in_worker(unfitness, self._seating.worker)
        if reason is not None:
            LOGGER.error("this node attests no jobs, for its engine fails the self-test: %s", reason)
            return
        self._core = self._candidate
        if self._seen is not None:
            await self._inputs.send(self._seen)

    async def _follow(self) -> None:
        """Look at the open jobs of the finalized state, now and after every block."""
        await self._look()
        async for block in self._parts.finalized:
            if block.header.height == self._parts.chain.finalized.height:
                await self._look()

    async def _look(self) -> None:
        height = self._parts.chain.finalized.height
        jobs = await self._parts.chain.query(self._parts.open_jobs)
        self._pool.update(jobs)
        self._hear_early(height)
        self._seen = Finalized(height, jobs)
        await self._inputs.send(self._seen)

    async def _listen(self) -> None:
        """Judge what neighbours tell."""
        async for received in self._channel.inbox:
            self._hear(received, self._parts.chain.finalized.height)

    def _hear(self, received: Received, since: BlockNumber) -> None:
        """Judge a message that first came when `since` was the finalized height."""
        try:
            told = decode_told(received.frame)
        except CodecError:
            self._parts.network.penalize(received.peer, "malformed job message", MALFORMED_COST)
            return
        match self._pool.offer(told):
            case Verdict.NEW:
                self._channel.broadcast(received.frame, where=lambda peer: peer.peer_id != received.peer)
            case Verdict.FORGED:
                self._parts.network.penalize(received.peer, "forged job message", FORGED_COST)
            case Verdict.EARLY if len(self._early) < EARLY_MAX:
                slot = told.message.job, told.message.validator, phase_of(told.message)
                self._early.setdefault(slot, (received, since))
            case _:
                pass

    def _hear_early(self, height: BlockNumber) -> None:
        """Judge again what came early; what is early for too long is about no job at all."""
        early, self._early = self._early, {}
        for received, since in early.values():
            if height <= since + EARLY_BLOCKS:
                self._hear(received, since)

    async def _handle(self, observed: Input, nursery: trio.Nursery) -> None:
        """Let the core act; a validator that cannot keep its word gives none."""
        if self._core is None:
            return
        try:
            for action in self._core.handle(observed):
                await self._perform(action, nursery)
        except JournalError as error:
            LOGGER.error("this node attests no more jobs until it is restarted: %s", error)
            self._core = None

    async def _perform(self, action: Action, nursery: trio.Nursery) -> None:
        assert self._seating is not None
        match action:
            case Compute(job):
                self._fetching[job.id] = trio.CancelScope()
                nursery.start_soon(self._compute, job, self._seating)
            case Drop(job_id):
                if job_id in self._fetching:
                    self._fetching[job_id].cancel()
            case Persist(word, output):
                await trio.to_thread.run_sync(self._seating.journal.write, word, output)
            case Publish(job_id):
                await self._publish(job_id, self._seating)
            case Forget(job_id):
                await trio.to_thread.run_sync(self._seating.journal.remove, job_id)
            case Tell(told):
                self._tell(told)

    def _tell(self, told: Told) -> None:
        """Offer our own message to our own blocks, and tell it to everybody."""
        self._pool.offer(told)
        self._channel.broadcast(encode_told(told), where=lambda peer: True)

    async def _compute(self, job: OpenJob, seating: Seating) -> None:
        """Fetch side by side with other jobs, then work in turn."""
        fetching, outcome = self._fetching[job.id], None
        with fetching:
            outcome = await _without_work(seating.blobs, job.task)
        if outcome is None:
            async with self._lane:
                is_dropped = fetching.cancel_called
                outcome = Trouble.UNABLE if is_dropped else await self._work(job.task, seating)
        del self._fetching[job.id]
        await self._inputs.send(Computed(job.id, outcome))

    async def _work(self, task: Task, seating: Seating) -> Result | Trouble:
        """Of files that are here."""
        try:
            files = [await seating.blobs.get(blob, bytes_max=most) for blob, most in _files(task)]
        except BlobError as error:
            LOGGER.warning("a file of a job is gone again: %s", error)
            return Trouble.UNAVAILABLE
        material: Material | Trouble = Material(*files)
        if isinstance(task, InferTask) and task.given is not None:
            material = await trio.to_thread.run_sync(opened, task, files[1], seating.secrets)
        if isinstance(material, Trouble):
            return material
        return await self._in_worker(compute, seating.worker, task, replace(material, model=files[0]))

    async def _publish(self, job: Hash, seating: Seating) -> None:
        """Give away the output that a word names; who cannot still reveals its name. Raises JournalError."""
        output = await trio.to_thread.run_sync(seating.journal.output, job)
        try:
            await seating.blobs.put(output)
        except BlobError as error:
            LOGGER.error("cannot give away the output of job %s: %s", job.hex()[:12], error)

    async def _in_worker(self, action: Callable[..., T], *arguments: object) -> T:
        """Something that blocks until the worker is done; ending the worker ends it."""
        return await trio.to_thread.run_sync(
            action, *arguments, limiter=self._working, abandon_on_cancel=True
        )


def _files(task: Task) -> list[tuple[BlobId, int]]:
    """The model file of a task, and the blob that it is to work on; none longer than was paid for."""
    if isinstance(task, ProveTask):
        return [(BlobId(task.blob), task.size_bytes)]
    model = BlobId(task.blob), BLOB_BYTES_MAX
    if isinstance(task, EvaluateTask):
        return [model, (BlobId(task.dataset), task.size_bytes)]
    return [model] if task.given is None else [model, (BlobId(task.given.blob), task.given.size_bytes)]


async def _without_work(blobs: Blobs, task: Task) -> Result | Trouble | None:
    """Have the files of a task here; what there is to say without them, or because of their length.

    They are kept as long as there is room, and not for ever: who has a few hundred models proved and run
    could else fill the disks of all validators.
    """
    for index, (blob, bytes_max) in enumerate(_files(task)):
        is_given = index > 0 or isinstance(task, ProveTask)
        try:
            await blobs.ensure(blob, bytes_max=bytes_max)
        except BlobTooLong as error:
            assert is_given
            return _too_long(task, error.size_bytes)
        except BlobError as error:
            LOGGER.warning("cannot get a file of a job yet: %s", error)
            return Trouble.WITHHELD if is_given else Trouble.UNAVAILABLE
    return None


def _too_long(task: Task, size_bytes: int) -> Result | Trouble:
    """What there is to say of a file that is longer than was paid for."""
    if isinstance(task, ProveTask):
        return wrong_length(task, size_bytes)
    return wrong_dataset(size_bytes, task) if isinstance(task, EvaluateTask) else Trouble.UNREADABLE
