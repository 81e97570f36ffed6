"""A validator in a process of its own, each of its protocols flooded: it stays small, answers and finalizes.

`python -m tests.fuzz.test_floods SECONDS` takes longer.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trio

from cli.accounts import signing_key
from cli.chain import Chain
from cli.submission import prepare
from cli.testnet_processes import Testnet
from node.network.identity import parse_address
from node.network.muxer import BUFFER_BYTES_MAX
from node.pool.messages import BATCH_ITEMS_MAX, PROTOCOL, encode_batches
from primitives.types import Balance
from tests.e2e.local import LocalNetwork, running
from tests.fuzz.flood import CONNECTIONS, FLOODS, Flooder, Victim, flood
from tests.fuzz.grow import SEED
from tests.fuzz.spoken import SERVICES
from tests.node.network.networks import eventually

SECONDS: Final = 4.0
"""For each flood."""

NODE: Final = "validator-1"
ANSWER_S: Final = 20.0
"""Longest that an honest client waits for an answer while the node is flooded, on a busy machine."""

GROWTH_BYTES_MAX: Final = CONNECTIONS * BUFFER_BYTES_MAX + (96 << 20)
"""What the connections may hold unread, the inboxes of all channels, and what the allocator keeps."""

SAMPLE_S: Final = 0.1

WARMING_BYTES: Final = 16 << 20
"""What it takes until buffers, caches and allocator have their size."""

VOLUME_BYTES: Final = 64 << 20
LEAK_BYTES_MAX: Final = 20 << 20
"""A node that kept what it was sent would grow by more than VOLUME_BYTES, three times as much."""


class Watched:
    """The flooded node, as an honest client and its operator see it."""

    def __init__(self, network: LocalNetwork) -> None:
        self._network = network
        process = network.testnet.process(NODE)
        assert process is not None
        self._process = process
        self.peak_bytes = self.rss_bytes

    @property
    def rss_bytes(self) -> int:
        """What the process takes of the memory now."""
        return int(self._process.memory_info().rss)

    def height(self) -> int:
        """Its answer."""
        began = time.monotonic()
        height = self._network.height(NODE)
        assert time.monotonic() - began < ANSWER_S
        return height

    def bans(self) -> int:
        """How many peers and networks are banned now."""
        return len(self._network.ask(NODE, "system_bannedPeers"))

    def log(self) -> str:
        """What it printed."""
        return self._network.log(NODE)

    async def sample(self) -> None:
        """Note how large it is, and that it answers, until cancelled."""
        while True:
            self.peak_bytes = max(self.peak_bytes, self.rss_bytes)
            await trio.to_thread.run_sync(self.height)
            await trio.sleep(SAMPLE_S)

    async def await_block(self) -> None:
        """Return after one more block is final."""
        reached = self.height()
        await trio.to_thread.run_sync(self._network.await_height, reached + 1, NODE)


@contextmanager
def victim(directory: Path) -> Iterator[tuple[Victim, Watched]]:
    """A validator that finalizes alone."""
    with running(Testnet.create(directory, 1), NODE) as network:
        address = parse_address(network.testnet.plan(NODE).address)
        genesis = bytes.fromhex(network.ask(NODE, "chain_getBlockHash", 0)[2:])
        yield Victim(address, network.testnet.plan(NODE).rpc_port, genesis), Watched(network)


def is_limited(flooder: Flooder, names: tuple[str, ...]) -> bool:
    """Whether the node has hung up on the flooder; one that asks too much is only told to come back."""
    return flooder.connections > 0 and (flooder.cut_off > 0 or names[0] in SERVICES)


async def suffer(node: Victim, watched: Watched, seconds: float) -> None:
    """All floods, one after the other."""
    small = watched.rss_bytes
    for number, names in enumerate(FLOODS):
        flooder = Flooder(node, SEED + number)
        began = watched.height()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched.sample)
            nursery.start_soon(flood, flooder, names)
            await trio.sleep(seconds)
            await eventually(partial(is_limited, flooder, names))
            await watched.await_block()
            nursery.cancel_scope.cancel()
        finalized = watched.height() - began
        grown = watched.peak_bytes - small
        print(  # noqa: T201 - shown if it fails, and to whoever runs it by hand
            f"{' '.join(names):45} {finalized:4} blocks, {flooder.connections:4} connections, "
            f"{flooder.cut_off:4} cut off, {flooder.sent_bytes >> 20:4} MiB sent, grown by {grown >> 20} MiB"
        )
        assert grown <= GROWTH_BYTES_MAX
    assert watched.bans() > 0
    assert "Traceback" not in watched.log()


def test_a_flooded_validator_stays_small_and_goes_on(tmp_path: Path) -> None:
    with victim(tmp_path / "net") as (node, watched):
        trio.run(suffer, node, watched, SECONDS)


async def repeat(node: Victim, watched: Watched, data: bytes) -> None:
    """One neighbour that says the same sound thing without end."""
    flooder = Flooder(node, SEED)
    await flooder.repeat(PROTOCOL, data, WARMING_BYTES)
    await watched.await_block()
    warm, before = watched.rss_bytes, flooder.sent_bytes
    await flooder.repeat(PROTOCOL, data, before + VOLUME_BYTES)
    await watched.await_block()
    grown = watched.rss_bytes - warm
    print(f"{VOLUME_BYTES >> 20} MiB handled, grown by {grown >> 20} MiB")  # noqa: T201
    assert grown <= LEAK_BYTES_MAX
    assert flooder.sent_bytes >= before + VOLUME_BYTES


def test_a_validator_forgets_what_it_has_handled(tmp_path: Path) -> None:
    with victim(tmp_path / "net") as (node, watched):
        with Chain(f"http://127.0.0.1:{node.rpc_port}") as chain:
            call = chain.values.call("balances.transfer", {"destination": "//Ferdie", "amount": "0.01"})
            transfer = prepare(chain, signing_key("//Alice", chain.keystore), call, Balance(0))
        (batch,) = encode_batches([transfer.data] * BATCH_ITEMS_MAX)
        trio.run(repeat, node, watched, batch)


if __name__ == "__main__":
    with TemporaryDirectory() as place, victim(Path(place, "net")) as (node, watched):
        trio.run(suffer, node, watched, float(sys.argv[1]))
