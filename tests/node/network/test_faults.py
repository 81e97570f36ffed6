"""Faults on purpose: on one connection in virtual time, and between real nodes on loopback."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import memory_stream_pair

from node.network.fault_plan import BadPlan, FaultPlan, LinkFaults, write_plan
from node.network.faults import HELD_BYTES_MAX, LOSSES_MAX, RETRANSMIT_MS, Faults, FaultyWire
from node.network.hello import Refusal
from node.network.host import Network
from node.network.identity import PeerId, peer_id_of
from node.network.peering import PeerConnected, PeerDisconnected
from tests.node.network.networks import PATIENCE_S, config, eventually, knows, seed, start

PEER = peer_id_of(seed(9))
NEVER = 0.999


def one(**faults: Any) -> FaultPlan:
    """A plan that harms the link to PEER."""
    return FaultPlan(links={PEER: LinkFaults(**faults)})


@dataclass
class Connection:
    """A wire to PEER, and PEER's end of it."""

    faults: Faults
    wire: FaultyWire
    far: Any

    async def arrival(self, data: bytes) -> float:
        """When all of `data` has arrived, in seconds from now."""
        began, found = trio.current_time(), b""
        while len(found) < len(data):
            found += await self.far.receive_some(1 << 16)
        assert found == data
        return trio.current_time() - began


@asynccontextmanager
async def connection(
    tmp_path: Path,
    plan: FaultPlan,
    *,
    chances: tuple[float, ...] = (NEVER,),
    peer: Callable[[], PeerId | None] = lambda: PEER,
) -> AsyncIterator[Connection]:
    faults = Faults(tmp_path / "plan", cycle(chances).__next__)
    near, far = memory_stream_pair()

    def close() -> None:
        near.send_stream.close()
        near.receive_stream.close()

    async with trio.open_nursery() as nursery:
        await nursery.start(faults.run)
        faults.apply(plan)
        yield Connection(faults, FaultyWire(near, close, faults, peer), far)
        nursery.cancel_scope.cancel()


async def test_a_sound_link_passes_everything_at_once(tmp_path: Path, autojump_clock: Any) -> None:
    async with connection(tmp_path, FaultPlan(links={"another": LinkFaults(cut=True)})) as link:
        await link.wire.send_all(b"now")
        assert await link.arrival(b"now") == 0
        await link.far.send_all(b"back")
        assert await link.wire.receive_some(10) == b"back"


async def test_what_is_delayed_travels_side_by_side(tmp_path: Path, autojump_clock: Any) -> None:
    """Ten writes are as late as one: it is the way that is long, not the work."""
    async with connection(tmp_path, one(delay_ms=200)) as link:
        for number in range(10):
            await link.wire.send_all(bytes([number]))
        assert await link.arrival(bytes(range(10))) == pytest.approx(0.2)


async def test_jitter_never_turns_the_order_round(tmp_path: Path, autojump_clock: Any) -> None:
    async with connection(tmp_path, one(delay_ms=100, jitter_ms=100), chances=(0.5, 0.9, 0.5, 0.0)) as link:
        await link.wire.send_all(b"late")
        await link.wire.send_all(b"soon")
        assert await link.arrival(b"late") == pytest.approx(0.19)
        assert await link.arrival(b"soon") == 0


async def test_a_loss_holds_up_what_is_behind_it(tmp_path: Path, autojump_clock: Any) -> None:
    async with connection(tmp_path, one(loss=0.3), chances=(0.1, 0.2, 0.5, 0.0, 0.5, 0.0)) as link:
        await link.wire.send_all(b"lost twice")
        await link.wire.send_all(b"not lost")
        assert await link.arrival(b"lost twice") == pytest.approx(2 * RETRANSMIT_MS / 1000)
        assert await link.arrival(b"not lost") == 0


async def test_losses_end_some_time(tmp_path: Path, autojump_clock: Any) -> None:
    async with connection(tmp_path, one(loss=0.9, delay_ms=100), chances=(0.0,)) as link:
        await link.wire.send_all(b"unlucky")
        longest = 0.1 + LOSSES_MAX * (RETRANSMIT_MS + 200) / 1000
        assert await link.arrival(b"unlucky") == pytest.approx(longest)


async def test_a_cut_delivers_nothing_in_either_direction_until_it_is_healed(
    tmp_path: Path, autojump_clock: Any, nursery: trio.Nursery
) -> None:
    async with connection(tmp_path, FaultPlan()) as link:
        received: list[bytes] = []

        async def receive() -> None:
            received.append(bytes(await link.wire.receive_some(10)))

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        link.faults.apply(one(cut=True))
        await link.wire.send_all(b"there")
        await link.far.send_all(b"here")
        with trio.move_on_after(3600) as waited:
            await link.arrival(b"there")
        assert waited.cancelled_caught
        assert received == []
        link.faults.apply(FaultPlan())
        assert await link.arrival(b"there") == 0
        await eventually(lambda: received == [b"here"])


async def test_the_end_of_a_connection_is_not_seen_through_a_cut(tmp_path: Path, autojump_clock: Any) -> None:
    async with connection(tmp_path, one(cut=True)) as link:
        await link.far.aclose()
        with trio.move_on_after(3600) as waited:
            await link.wire.receive_some(10)
        assert waited.cancelled_caught


async def test_a_reset_is_not_seen_through_a_cut(tmp_path: Path, autojump_clock: Any) -> None:
    class Reset:
        async def receive_some(self, max_bytes: int, /) -> bytes:
            raise trio.BrokenResourceError

        async def send_all(self, data: bytes, /) -> None:
            raise trio.BrokenResourceError

    faults = Faults(tmp_path / "plan")
    faults.apply(one(cut=True))
    wire = FaultyWire(Reset(), lambda: None, faults, lambda: PEER)
    with trio.move_on_after(3600) as waited:
        await wire.receive_some(10)
    assert waited.cancelled_caught
    faults.apply(FaultPlan())
    with pytest.raises(trio.BrokenResourceError):
        await wire.receive_some(10)


async def test_closing_wakes_whoever_waits_behind_a_cut(tmp_path: Path, autojump_clock: Any) -> None:
    async with connection(tmp_path, one(cut=True)) as link:
        await link.wire.send_all(bytes(HELD_BYTES_MAX))
        closed: list[str] = []

        async def expect_closed(what: str, wait: Callable[[], Any]) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await wait()
            closed.append(what)

        async with trio.open_nursery() as waiting:
            waiting.start_soon(expect_closed, "sender", lambda: link.wire.send_all(b"more"))
            waiting.start_soon(expect_closed, "receiver", lambda: link.wire.receive_some(10))
            await link.far.send_all(b"data")
            await trio.testing.wait_all_tasks_blocked()
            link.wire.close()
        assert sorted(closed) == ["receiver", "sender"]


async def test_a_slow_link_holds_no_more_than_its_share(tmp_path: Path, autojump_clock: Any) -> None:
    async with connection(tmp_path, one(delay_ms=1000)) as link:
        piece = bytes(HELD_BYTES_MAX // 4)
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(6):
                await link.wire.send_all(piece)
                sent += 1

        async with trio.open_nursery() as sending:
            sending.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            assert sent == 4
            assert await link.arrival(6 * piece) == pytest.approx(2)


async def test_a_delay_that_is_lifted_holds_nothing_back(tmp_path: Path, autojump_clock: Any) -> None:
    async with connection(tmp_path, one(delay_ms=60_000)) as link:
        await link.wire.send_all(b"late")
        link.faults.apply(FaultPlan())
        await link.wire.send_all(b"soon")
        assert await link.arrival(b"latesoon") == 0


async def test_a_peer_that_is_not_known_yet_has_a_sound_link(tmp_path: Path, autojump_clock: Any) -> None:
    known: list[PeerId] = []
    async with connection(tmp_path, one(cut=True), peer=lambda: known[0] if known else None) as link:
        await link.wire.send_all(b"hello")
        assert await link.arrival(b"hello") == 0
        known.append(PEER)
        await link.wire.send_all(b"lost")
        with trio.move_on_after(3600) as waited:
            await link.arrival(b"lost")
        assert waited.cancelled_caught


async def test_a_receiver_that_is_gone_frees_the_sender(tmp_path: Path, autojump_clock: Any) -> None:
    async with connection(tmp_path, one(delay_ms=10)) as link:
        await link.wire.send_all(bytes(HELD_BYTES_MAX))
        await link.far.aclose()
        with trio.fail_after(1):
            await link.wire.send_all(b"goes nowhere")


async def test_the_plan_is_read_again_on_sighup(tmp_path: Path) -> None:
    write_plan(tmp_path / "plan", one(cut=True))
    async with trio.open_nursery() as nursery:
        faults = Faults(tmp_path / "plan")
        assert faults.link(PEER).cut
        await nursery.start(faults.run)
        write_plan(tmp_path / "plan", FaultPlan(clock_ms=-10_000))
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: faults.clock_ms(50_000) == 40_000)
        assert not faults.link(PEER).cut
        (tmp_path / "plan").write_text("nonsense")
        os.kill(os.getpid(), signal.SIGHUP)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert faults.plan == FaultPlan(clock_ms=-10_000)
        nursery.cancel_scope.cancel()


async def test_a_change_between_the_two_readings_is_not_missed(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        faults = Faults(tmp_path / "plan")
        write_plan(tmp_path / "plan", one(cut=True))
        await nursery.start(faults.run)
        assert faults.link(PEER).cut
        nursery.cancel_scope.cancel()


def test_a_plan_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("nonsense")
    with pytest.raises(BadPlan):
        Faults(tmp_path / "plan")


async def test_nodes_that_are_cut_off_lose_each_other_and_meet_again(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """Only one of the two knows of the cut, as while the other is paused."""
    other = await start(nursery, config(2))
    third = await start(nursery, config(3))
    faults = Faults(tmp_path / "plan")
    network = Network(replace(config(1, other.listening, third.listening), faults=faults))
    await nursery.start(network.run)
    await eventually(lambda: knows(network, other, third) and knows(other, network, third))
    events, others_events = network.subscribe(), other.subscribe()
    faults.apply(FaultPlan(links={other.peer_id: LinkFaults(cut=True)}))
    with trio.fail_after(PATIENCE_S):
        assert await events.receive() == PeerDisconnected(other.peer_id, Refusal.SILENT)
        assert await others_events.receive() == PeerDisconnected(network.peer_id, Refusal.SILENT)
    assert knows(network, third)
    faults.apply(FaultPlan())
    with trio.fail_after(PATIENCE_S):
        assert isinstance(await events.receive(), PeerConnected)
    await eventually(lambda: knows(other, network, third))
    nursery.cancel_scope.cancel()


async def test_a_dial_behind_a_cut_is_not_even_heard(tmp_path: Path, nursery: trio.Nursery) -> None:
    other = await start(nursery, config(2))
    write_plan(tmp_path / "plan", FaultPlan(links={other.peer_id: LinkFaults(cut=True)}))
    faults = Faults(tmp_path / "plan")
    network = Network(replace(config(1, other.listening), faults=faults))
    await nursery.start(network.run)
    await trio.testing.wait_all_tasks_blocked(0.1)
    assert other.counters.inbound_sockets == 0
    write_plan(tmp_path / "plan", FaultPlan())
    os.kill(os.getpid(), signal.SIGHUP)
    await eventually(lambda: knows(network, other))
    nursery.cancel_scope.cancel()


async def test_a_slow_lossy_link_carries_everything_in_the_end(tmp_path: Path, nursery: trio.Nursery) -> None:
    """The whole stack, handshake too, over a link that is bad in one direction."""
    other = await start(nursery, config(2))
    bad = FaultPlan(links={other.peer_id: LinkFaults(delay_ms=20, jitter_ms=20, loss=0.1)})
    write_plan(tmp_path / "plan", bad)
    network = Network(replace(config(1, other.listening), faults=Faults(tmp_path / "plan")))
    await nursery.start(network.run)
    await eventually(lambda: knows(network, other) and knows(other, network))
    nursery.cancel_scope.cancel()
