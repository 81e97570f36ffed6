"""A transaction from one real node to another on loopback."""

import trio

from node.network.host import Network
from node.pool.core import Limits
from node.pool.service import PoolService
from primitives.block import Block
from tests.node.network.networks import PATIENCE_S, config, eventually, knows
from tests.node.pool.samples import FakeChain, encoded


async def test_an_extrinsic_travels_between_real_nodes() -> None:
    _, finalized = trio.open_memory_channel[Block](0)
    async with trio.open_nursery() as nursery:
        one = Network(config(1))
        pools = [PoolService(FakeChain(), one, finalized, Limits())]
        await nursery.start(one.run)
        two = Network(config(2, one.listening))
        pools.append(PoolService(FakeChain(), two, finalized, Limits()))
        await nursery.start(two.run)
        for pool in pools:
            nursery.start_soon(pool.run)
        await eventually(lambda: knows(one, two) and knows(two, one))
        hash_ = await pools[0].submit(encoded(1, 0))
        with trio.fail_after(PATIENCE_S):
            await pools[1].wait_for_arrival(0)
        assert hash_ in pools[1].core
        nursery.cancel_scope.cancel()
