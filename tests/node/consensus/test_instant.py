import itertools

import pytest
import trio
from trio.testing import MockClock

from node.consensus.instant import InstantEngine
from primitives.block import block_hash
from primitives.certificate import verify_certificate
from primitives.signing import SigningKey
from primitives.types import EpochIndex, Seed, TimestampMs
from tests.node.consensus.fakes import SETTINGS, MemoryHost, make_chain

KEY = SigningKey(Seed(b"i" * 32))


@pytest.fixture
def host() -> MemoryHost:
    return MemoryHost(make_chain([KEY.public_key]), KEY.public_key)


def clock() -> TimestampMs:
    return TimestampMs(int(trio.current_time() * 1000))


async def test_each_arrival_gets_a_block(host: MemoryHost, autojump_clock: MockClock) -> None:
    arrive, arrivals = trio.open_memory_channel[None](8)
    engine = InstantEngine(host, lambda _: KEY, arrivals, interval_ms=None, clock=clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        await arrive.send(None)
        await host.reach(1)
        await trio.testing.wait_all_tasks_blocked()
        assert host.tip.height == 1
        await arrive.send(None)
        await host.reach(2)
        nursery.cancel_scope.cancel()


async def test_interval_seals_empty_blocks_across_epochs(host: MemoryHost, autojump_clock: MockClock) -> None:
    _, arrivals = trio.open_memory_channel[None](0)
    engine = InstantEngine(host, lambda _: KEY, arrivals, interval_ms=1000, clock=clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        await engine.advance()
        await host.reach(5)
        nursery.cancel_scope.cancel()
    times = [block.header.timestamp_ms for block in host.committed]
    assert all(later - sooner >= SETTINGS.block_time_ms for sooner, later in itertools.pairwise(times))
    assert [block.header.view for block in host.committed] == [1, 2, 3, 1, 2]


async def test_its_certificates_hold(host: MemoryHost, autojump_clock: MockClock) -> None:
    _, arrivals = trio.open_memory_channel[None](0)
    engine = InstantEngine(host, lambda _: KEY, arrivals, interval_ms=1000, clock=clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        await host.reach(1)
        nursery.cancel_scope.cancel()
    certificate = host.certificates[EpochIndex(1)]
    anchor = block_hash(host.chain.genesis)
    assert verify_certificate(certificate, host.chain.committee(EpochIndex(1)), anchor)
    assert certificate.block == block_hash(host.tip)


async def test_committee_of_several_is_refused(autojump_clock: MockClock) -> None:
    other = SigningKey(Seed(b"o" * 32))
    host = MemoryHost(make_chain([KEY.public_key, other.public_key]), KEY.public_key)
    _, arrivals = trio.open_memory_channel[None](0)
    engine = InstantEngine(host, lambda _: KEY, arrivals, interval_ms=10, clock=clock)
    with pytest.RaisesGroup(AssertionError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run)
    assert host.committed == []


async def test_an_author_with_another_key_stands_still(host: MemoryHost, autojump_clock: MockClock) -> None:
    _, arrivals = trio.open_memory_channel[None](0)
    keys = iter([None, KEY])
    engine = InstantEngine(host, lambda _: next(keys), arrivals, interval_ms=1000, clock=clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        await host.reach(1)
        nursery.cancel_scope.cancel()
    assert host.tip.timestamp_ms >= 2000
