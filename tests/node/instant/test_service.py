"""The files of models in blocks: fetched when deployed, asked for again, and pinned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from frame.error import Unable
from frame.state import DictState, StateView
from node.blobs.messages import BlobId
from node.blobs.service import BlobUnavailable
from node.instant.host import BlockHost
from node.instant.service import RETRY_S, InstantService
from primitives.block import Block
from primitives.types import Hash
from runtime.pinned import PinnedModel
from tests.node.instant.test_host import BLOB, Worker
from tests.node.pool.samples import block_of
from tests.pallets.attested import INPUT, VERDICT

MODEL = PinnedModel(BLOB, 5, VERDICT)


class FakeChain:
    async def query(self, question: Callable[[StateView], Any], /) -> Any:
        await trio.lowlevel.checkpoint()
        return question(DictState())


@dataclass
class FakeBlobs:
    has: set[bytes] = field(default_factory=set)
    asked: list[tuple[bytes, int]] = field(default_factory=list)

    async def get(self, blob: BlobId, /, *, pinned: bool, bytes_max: int) -> bytes:
        await trio.lowlevel.checkpoint()
        assert pinned
        self.asked.append((blob, bytes_max))
        if blob not in self.has:
            raise BlobUnavailable("nobody gives it")
        return b"model"


@dataclass
class Setup:
    pinned: Sequence[PinnedModel] = ()
    worker: Worker = field(default_factory=Worker)
    blobs: FakeBlobs = field(default_factory=FakeBlobs)

    def __post_init__(self) -> None:
        self.host = BlockHost(self.worker)
        self.sending, receiving = trio.open_memory_channel[Block](10)
        self.service = InstantService(FakeChain(), self.blobs, self.host, lambda _: self.pinned, receiving)


async def test_a_model_is_fetched_and_warmed_when_the_block_that_deploys_it_is_final() -> None:
    setup = Setup()
    setup.blobs.has.add(BLOB)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setup.service.run)
        await wait_all_tasks_blocked(0.01)
        assert setup.blobs.asked == []
        setup.pinned = [MODEL]
        await setup.sending.send(block_of(1))
        while not setup.worker.files:
            await wait_all_tasks_blocked(0.01)
        assert setup.blobs.asked == [(BLOB, 5)]
        setup.host.run_model(BLOB, VERDICT, INPUT)
        nursery.cancel_scope.cancel()
    assert setup.worker.is_closed


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0.05)


async def test_what_nobody_gives_is_asked_for_again(autojump_clock: MockClock) -> None:
    setup = Setup(pinned=[MODEL])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setup.service.run)
        await trio.sleep(3 * RETRY_S)
        assert len(setup.blobs.asked) >= 3
        assert not setup.host.has(BLOB)
        setup.blobs.has.add(BLOB)
        await trio.sleep(2 * RETRY_S)
        assert setup.host.has(BLOB)
        nursery.cancel_scope.cancel()


async def test_what_a_block_needs_before_its_deployment_is_final_is_fetched_too(
    autojump_clock: MockClock,
) -> None:
    setup, other = Setup(), Hash(b"\x0f" * 32)
    setup.blobs.has.add(other)
    with pytest.raises(Unable):
        setup.host.run_model(other, VERDICT, INPUT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setup.service.run)
        await trio.sleep(2 * RETRY_S)
        assert setup.host.has(other)
        nursery.cancel_scope.cancel()
    assert setup.host.missing() == ()
