"""Joining over real connections: what comes out is the database of a node that was there all along."""

import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from chainspec.genesis import GenesisBlock
from node.check.database import check_database
from node.check.report import Report
from node.db.database import Database
from node.db.errors import UnknownState
from node.db.partial import Partial
from node.db.schema import Table, number_key, state_row
from node.db.store import Store
from node.fork import read_standing
from node.network.hello import Role
from node.network.host import Network, NetworkConfig
from node.network.identity import PeerId
from node.snapshot.join import Progress, join
from node.snapshot.messages import (
    ANSWER_BYTES_MAX,
    CHUNK,
    CHUNK_BYTES,
    EPOCHS,
    OFFER,
    QUESTION,
    Chunk,
    ChunkQuestion,
    Epochs,
    EpochsQuestion,
    NotHeld,
    Offer,
    OfferQuestion,
)
from node.snapshot.service import SnapshotService
from primitives.block import block_hash
from primitives.state_proof import StateProof, state_path, verify_state_proof
from primitives.types import BlockNumber, EpochIndex
from tests.node.network.networks import LOOPBACK, config, seed
from tests.node.snapshot.chains import HELD, entries_of, extend, genesis, grown

GENESIS = block_hash(genesis().block.header)
PATIENCE_S = 60.0
"""No join takes a tenth of it."""

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
    first = genesis()
    block = GenesisBlock(first.block.header, None, first.committee)
    standing = read_standing(tmp_path / "second", block, None, lambda _: None)
    assert (standing.header.height, standing.entries) == (HELD, state)


Answer = Callable[[Database, bytes], bytes | None]
"""What a hostile node answers a question with; None: as an honest one would."""


class Hostile(SnapshotService):
    """Answers some questions as it likes."""

    def __init__(self, database: Database, network: Network, lie: Answer) -> None:
        super().__init__(database, network)
        self._lie = lie
        self.has_lied = trio.Event()

    async def answer(self, peer: PeerId, payload: bytes) -> bytes:
        lie = self._lie(self._database, payload)
        if lie is None:
            return await super().answer(peer, payload)
        self.has_lied.set()
        return lie


class Patient(SnapshotService):
    """Is honest, and leaves the first move to the other."""

    def __init__(self, database: Database, network: Network, other: Hostile) -> None:
        super().__init__(database, network)
        self._other = other

    async def answer(self, peer: PeerId, payload: bytes) -> bytes:
        if isinstance(QUESTION.decode(payload), OfferQuestion):
            await self._other.has_lied.wait()
        return await super().answer(peer, payload)


def offer_of(database: Database, payload: bytes) -> Offer | None:
    if not isinstance(QUESTION.decode(payload), OfferQuestion):
        return None
    return Offer(database.finalized().height, database.blocks.running_epoch(), database.holds.heights())


def over_long(database: Database, payload: bytes) -> bytes | None:
    return None if offer_of(database, payload) else bytes(ANSWER_BYTES_MAX)


def garbage(database: Database, payload: bytes) -> bytes | None:
    return b"\xc1"


def empty_chunks(database: Database, payload: bytes) -> bytes | None:
    question = QUESTION.decode(payload)
    if not isinstance(question, ChunkQuestion):
        return None
    return CHUNK.encode(Chunk(question.range_, (), StateProof(0, b"", (), None)))


def changed_values(database: Database, payload: bytes) -> bytes | None:
    question = QUESTION.decode(payload)
    if not isinstance(question, ChunkQuestion):
        return None
    part = database.holds.part(question.height, question.range_, (CHUNK_BYTES, 5))
    entries = tuple((key, b"mine") for key, _ in part.entries or ())
    return CHUNK.encode(Chunk(part.range_, entries, part.proof))


def endless_epochs(database: Database, payload: bytes) -> bytes | None:
    if offer := offer_of(database, payload):
        return OFFER.encode(replace(offer, epoch=EpochIndex(2**62), heights=(BlockNumber(2**62),)))
    if isinstance(QUESTION.decode(payload), EpochsQuestion):
        proof = database.blocks.epoch_proof(EpochIndex(1))
        assert proof is not None
        return EPOCHS.encode(Epochs((proof,) * 100))
    return None


def empty_promises(database: Database, payload: bytes) -> bytes | None:
    if offer := offer_of(database, payload):
        return OFFER.encode(replace(offer, epoch=EpochIndex(2**62), heights=(HELD, BlockNumber(2**62))))
    if isinstance(QUESTION.decode(payload), EpochsQuestion):
        return EPOCHS.encode(Epochs(()))
    return CHUNK.encode(NotHeld())


@pytest.mark.parametrize(
    ("lie", "is_banned"),
    [
        (over_long, False),
        (garbage, True),
        (empty_chunks, True),
        (changed_values, True),
        (endless_epochs, True),
        (empty_promises, False),
    ],
)
async def test_a_lying_peer_is_avoided_and_an_honest_one_is_enough(
    tmp_path: Path, chain: Database, lie: Answer, is_banned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    charged: list[tuple[PeerId, int]] = []
    penalize = Network.penalize

    def noted(network: Network, peer: PeerId, reason: str, cost: int) -> None:
        charged.append((peer, cost))
        penalize(network, peer, reason, cost)

    monkeypatch.setattr(Network, "penalize", noted)
    async with trio.open_nursery() as nursery:
        liar, honest = (Network(config(number, listen=LOOPBACK, genesis=GENESIS)) for number in (50, 51))
        Patient(chain, honest, Hostile(chain, liar, lie))
        await nursery.start(liar.run)
        await nursery.start(honest.run)
        assert await joined(tmp_path / "new", liar, honest) == HELD
        nursery.cancel_scope.cancel()
    assert set(charged) == ({(liar.peer_id, 100)} if is_banned else set())
    database = Database(tmp_path / "new", genesis())
    assert entries_of(database) == entries_of(chain)
    database.close()


async def test_what_was_verified_is_kept_over_an_interruption(tmp_path: Path, chain: Database) -> None:
    async with serving(chain) as servers:
        told: list[Progress] = []
        with trio.CancelScope() as scope:

            def interrupt(progress: Progress) -> None:
                if progress.chunks:
                    scope.cancel()

            await joined(tmp_path / "new", *servers, on_progress=interrupt)
        assert scope.cancelled_caught
        assert not (tmp_path / "new").exists()
        assert await joined(tmp_path / "new", *servers, on_progress=told.append) == HELD
    assert told[0].epochs == HELD // 4
    assert 0 < told[-1].entries < len(MANY)
    database = Database(tmp_path / "new", genesis())
    assert entries_of(database) == entries_of(chain)
    database.close()


async def test_a_target_that_moves_costs_only_what_has_changed(tmp_path: Path) -> None:
    chain = grown(tmp_path / "old", MANY)
    async with serving(chain) as servers:
        with trio.CancelScope() as scope:

            def interrupt(progress: Progress) -> None:
                if progress.share == 1.0 and not progress.is_finishing:
                    scope.cancel()

            await joined(tmp_path / "new", *servers, on_progress=interrupt)
    for number in range(HELD):
        extend(chain, {b"height": b"again %d" % number})
    chain._store.write(lambda transaction: transaction.delete(Table.HOLDS, number_key(HELD)))
    told: list[Progress] = []
    async with serving(chain) as servers:
        assert await joined(tmp_path / "new", *servers, on_progress=told.append) == 2 * HELD
    assert 0 < told[-1].entries < len(MANY) * 0.6
    database = Database(tmp_path / "new", genesis())
    assert entries_of(database) == entries_of(chain)
    database.close()
    chain.close()


async def test_a_young_chain_has_nothing_to_fetch(tmp_path: Path) -> None:
    young = grown(tmp_path / "old", {}, 5)
    async with serving(young) as servers:
        assert await joined(tmp_path / "new", *servers) is None
    young.close()
    assert {path.name for path in tmp_path.iterdir()} == {"old"}  # noqa: ASYNC240


async def test_without_peers_it_waits_and_says_so(tmp_path: Path) -> None:
    told: list[Progress] = []
    with trio.move_on_after(3):
        await join(tmp_path / "new", genesis(), joining(99), told.append)
    assert [progress.peers for progress in told] == [0] * len(told)
    assert len(told) > 1


async def test_what_was_fetched_of_another_chain_is_thrown_away(tmp_path: Path, chain: Database) -> None:
    other = Partial(tmp_path / "new.partial", genesis({b"other": b"chain"}))
    other.close()
    async with serving(chain) as servers:
        assert await joined(tmp_path / "new", *servers) == HELD
    database = Database(tmp_path / "new", genesis())
    database.close()


async def test_a_false_row_that_got_in_is_found_before_anything_stands_on_it(
    tmp_path: Path, chain: Database
) -> None:
    async with serving(chain) as servers:
        spoilt = False

        def spoil(progress: Progress) -> None:
            nonlocal spoilt
            if progress.share == 1.0 and not spoilt and not progress.is_finishing:
                spoilt = True
                raise Spoil

        with pytest.raises(BaseExceptionGroup):
            await joined(tmp_path / "new", *servers, on_progress=spoil)
        partial = Store(tmp_path / "new.partial")
        row = state_row(b"entry 5", b"false")
        partial.write(lambda transaction: transaction.put(Table.STATE, state_path(b"entry 5"), row))
        partial.close()
        assert await joined(tmp_path / "new", *servers) == HELD
    database = Database(tmp_path / "new", genesis())
    assert entries_of(database) == entries_of(chain)
    database.close()


class Spoil(Exception):
    pass


async def test_a_node_that_joined_knows_what_it_does_not_have(tmp_path: Path, chain: Database) -> None:
    async with serving(chain) as servers:
        await joined(tmp_path / "new", *servers)
    database = Database(tmp_path / "new", genesis())
    blocks = database.blocks
    assert blocks.complete_from() == HELD + 1
    assert chain.blocks.complete_from() == 0
    assert blocks.headers(BlockNumber(0), HELD) == chain.blocks.headers(BlockNumber(0), BlockNumber(0))
    assert blocks.block(HELD) is None
    assert blocks.finality_proof(BlockNumber(0)) is None
    assert blocks.finality_proof(BlockNumber(HELD - 1)) is None
    assert blocks.finality_proof(HELD) == chain.blocks.finality_proof(HELD)
    for epoch in range(HELD // 4 + 2):
        assert blocks.epoch_proof(EpochIndex(epoch)) == chain.blocks.epoch_proof(EpochIndex(epoch))
    database.close()
    report = Report()
    check_database(tmp_path / "new", GENESIS, report)
    assert report.findings == []
    database = Database(tmp_path / "new", genesis())
    extend(database, {b"entry 5": b"later"})
    with pytest.raises(UnknownState, match="joined later"):
        database.prove([b"entry 5"], BlockNumber(HELD - 1))
    [proved] = database.prove([b"entry 5"], HELD)
    assert verify_state_proof(chain.finalized().root, b"entry 5", MANY[b"entry 5"], proved.proof)
    database.close()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = grown(tmp_path_factory.mktemp("chain") / "db", MANY)
    yield database
    database.close()
