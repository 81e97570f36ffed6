"""A new node joins a chain of a million accounts by snapshot: two processes, and the real protocol."""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import trio

from node.db.database import Database
from node.db.holds import HOLD_INTERVAL
from node.db.schema import Finalized, Genesis
from node.network.hello import Role
from node.network.host import Network, NetworkConfig
from node.network.identity import Address
from node.snapshot.join import Progress, join
from node.snapshot.service import SnapshotService
from primitives.block import GENESIS_PARENT, Block, Body, Header, block_hash
from primitives.certificate import Certificate, certificate_of
from primitives.committee import Committee, Member, committee_root
from primitives.hashing import blake2b_256
from primitives.outcome import BlockOutcome
from primitives.signing import SigningKey
from primitives.state_proof import EMPTY
from primitives.types import (
    AuthorityIndex,
    BlockHash,
    BlockNumber,
    EpochIndex,
    Hash,
    PublicKey,
    Seed,
    SpecVersion,
    Stake,
    TimestampMs,
    View,
)
from primitives.vote import Vote, VoteKind, vote_message

ACCOUNTS = 1_000_000
ACCOUNTS_PER_BLOCK = 20_000
KEY = SigningKey(Seed(bytes(32)))
ZERO = bytes(32)


def main() -> int:
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        began = time.perf_counter()
        build(path / "old")
        built_s = time.perf_counter() - began
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        server = context.Process(target=serve, args=(path / "old", theirs))
        server.start()
        try:
            address = ours.recv()
            joiner = context.Process(target=fetch, args=(path / "new", address, theirs))
            joiner.start()
            figures = ours.recv()
            joiner.join()
        finally:
            server.terminate()
            server.join()
    print(
        json.dumps({"benchmark": "snapshot", "accounts": ACCOUNTS, "built_s": round(built_s, 1), **figures})
    )
    return joiner.exitcode or 0


def build(path: Path) -> None:
    """A chain whose state is held, and has that many accounts."""
    database = Database(path, genesis())
    for height in range(1, HOLD_INTERVAL + 1):
        extend(database, height)
    database.close()


def serve(path: Path, told: Connection) -> None:
    """Be the node that has the state, until killed."""
    database = Database(path)

    async def run() -> None:
        network = Network(network_config(1, Address(host="127.0.0.1", port=0)))
        SnapshotService(database, network)
        async with trio.open_nursery() as nursery:
            await nursery.start(network.run)
            told.send(network.listening)

    trio.run(run)


def fetch(path: Path, address: Address, told: Connection) -> None:
    """Be the node that joins."""
    newest: list[Progress] = []
    own_mb: list[int] = [0]
    timeline: dict[str, float] = {}

    def on_progress(progress: Progress) -> None:
        newest[:] = [progress]
        own_mb[0] = max(own_mb[0], anonymous_mb())
        moment = "finishing" if progress.is_finishing else "fetching" if progress.chunks else "finding"
        timeline.setdefault(moment, time.perf_counter())

    config = network_config(2, None, (address,))
    began = time.perf_counter()
    height = trio.run(join, path, genesis(), config, on_progress)
    seconds = time.perf_counter() - began
    assert height == HOLD_INTERVAL
    size = sum(file.stat().st_blocks * 512 for file in path.iterdir())
    told.send(
        {
            "seconds": round(seconds, 1),
            "finding_s": round(timeline["fetching"] - began, 1),
            "fetching_s": round(timeline["finishing"] - timeline["fetching"], 1),
            "finishing_s": round(began + seconds - timeline["finishing"], 1),
            "rows_per_s": round(newest[0].entries / seconds),
            "chunks": newest[0].chunks,
            "database_mb": round(size / 1e6),
            "joiner_cpu_s": round(time.process_time(), 1),
            "joiner_own_peak_mb": own_mb[0],
            "joiner_rss_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        }
    )


def anonymous_mb() -> int:
    """Memory of this process that is not pages of its database, which the system may take back."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("RssAnon:")[2].split()[0]) // 1000


def network_config(number: int, listen: Address | None, bootnodes: tuple[Address, ...] = ()) -> NetworkConfig:
    """One of the two nodes."""
    return NetworkConfig(
        listen=listen,
        seed=Seed(bytes([number]) * 32),
        genesis=block_hash(genesis().block.header),
        role=Role.FULL,
        bootnodes=bootnodes,
    )


def committee(epoch: int) -> Committee:
    """One member, and epochs as long as states are held."""
    return Committee(
        EpochIndex(epoch),
        BlockNumber((epoch - 1) * HOLD_INTERVAL + 1),
        BlockNumber(epoch * HOLD_INTERVAL),
        SpecVersion(1),
        (Member(KEY.public_key, Stake(1)),),
    )


def genesis() -> Genesis:
    """Block 0, with an empty state."""
    return Genesis(Block(header(0, GENESIS_PARENT, EMPTY), Body((), ())), tuple, committee(1))


def header(height: int, parent: BlockHash, root: Hash) -> Header:
    """Of the one chain that there is."""
    return Header(
        EpochIndex(min(height, 1)),
        View(height),
        BlockNumber(height),
        parent,
        root,
        Hash(ZERO),
        Hash(ZERO),
        TimestampMs(height),
        PublicKey(ZERO),
        committee_root(committee(height // HOLD_INTERVAL + 1)) if height % HOLD_INTERVAL == 0 else None,
    )


def extend(database: Database, height: int) -> None:
    """One more block, which endows some accounts."""
    parent = database.finalized().block
    changes = tuple(sorted(accounts(height)))
    root = database.root_after(parent, changes)
    block = Block(header(height, parent, root), Body((), ()))
    database.lay(block_hash(block.header), parent, changes)
    following = committee(2) if block.header.next_set is not None else None
    database.commit([Finalized(block, BlockOutcome((), ()), following)], certificate(block.header))


def accounts(height: int) -> Iterator[tuple[bytes, bytes]]:
    """Storage keys and values as long as those of accounts."""
    first = (height - 1) * ACCOUNTS_PER_BLOCK
    for number in range(first, min(first + ACCOUNTS_PER_BLOCK, ACCOUNTS)):
        name = blake2b_256(number.to_bytes(8, "big"))
        yield name[:16] + b"\x91\xc4\x20" + name, name[:24]


def certificate(block: Header) -> Certificate:
    """FINALIZE by the only member."""
    anchor, subject = block_hash(genesis().block.header), block_hash(block)
    message = vote_message(anchor, VoteKind.FINALIZE, block.epoch, block.view, subject)
    signature = KEY.sign(message)
    return certificate_of(
        [Vote(VoteKind.FINALIZE, block.epoch, block.view, subject, AuthorityIndex(0), signature)]
    )


if __name__ == "__main__":
    sys.exit(main())
