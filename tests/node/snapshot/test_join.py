"""Joining over real connections: what comes out is the database of a node that was there all along."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from node.db.database import Database
from node.network.hello import Role
from node.network.host import Network, NetworkConfig
from node.snapshot.join import Progress, join
from node.snapshot.service import SnapshotService
from primitives.block import block_hash
from primitives.types import BlockNumber
from tests.node.network.networks import LOOPBACK, PATIENCE_S, config, seed
from tests.node.snapshot.chains import HELD, entries_of, extend, genesis, grown

GENESIS = block_hash(genesis().block.header)
MANY = {b"entry %d" % number: random.Random(number).randbytes(200) for number in range(9_000)}
"""1.9 MB: more than a chunk."""


def joining(number: int, *servers: Network) -> NetworkConfig:
    bootnodes = tuple(server.listening for server in servers if server.listening is not None)
    return NetworkConfig(listen=None, seed=seed(number), genesis=GENESIS, role=Role.FULL, bootnodes=bootnodes)


@asynccontextmanager
async def serving(*databases: Database) -> AsyncIterator[list[Network]]:
    async with trio.open_nursery() as nursery:
        networks: list[Network] = []
        for number, database in enumerate(databases, 1):
            network = Network(config(number, listen=LOOPBACK, genesis=GENESIS))
            SnapshotService(database, network)
            await nursery.start(network.run)
            networks.append(network)
        yield networks
        nursery.cancel_scope.cancel()


def silent(_: Progress) -> None:
    pass


async def joined(
    path: Path, *servers: Network, on_progress: Callable[[Progress], None] = silent
) -> BlockNumber | None:
    with trio.fail_after(PATIENCE_S):
        return await join(path, genesis(), joining(99, *servers), on_progress)


async def test_a_node_joins_and_the_next_joins_from_it_alone(tmp_path: Path) -> None:
    old = grown(tmp_path / "old", MANY, HELD)
    state = entries_of(old)
    for number in range(3):
        extend(old, {b"entry %d" % number: None, b"later %d" % number: b"x"})
    source, told = old, list[Progress]()
    for name in ("first", "second"):
        async with serving(source) as servers:
            assert await joined(tmp_path / name, *servers, on_progress=told.append) == HELD
        source.close()
        source = Database(tmp_path / name, genesis())
        assert source.finalized().height == HELD
        assert entries_of(source) == state
        assert not (tmp_path / f"{name}.partial").exists()
    assert told[-1].is_finishing
    assert max(progress.chunks for progress in told) > 1
    source.close()
