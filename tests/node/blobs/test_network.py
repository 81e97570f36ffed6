"""A blob from one real node to another on loopback."""

from pathlib import Path

import trio

from node.blobs.service import BlobService
from node.blobs.store import BlobStore, StoreLimits
from node.network.host import Network
from tests.node.blobs.samples import LARGE
from tests.node.network.networks import PATIENCE_S, config, eventually, knows


async def test_a_blob_travels_between_real_nodes(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        one = Network(config(1))
        giver = BlobService(BlobStore(tmp_path / "one", StoreLimits()), one)
        await nursery.start(one.run)
        two = Network(config(2, one.listening))
        taker = BlobService(BlobStore(tmp_path / "two", StoreLimits()), two)
        await nursery.start(two.run)
        await eventually(lambda: knows(two, one))
        blob = await giver.put(LARGE)
        with trio.fail_after(PATIENCE_S):
            assert await taker.get(blob) == LARGE
        nursery.cancel_scope.cancel()
