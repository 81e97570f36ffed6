"""How fast a network of four validators on this machine heals: leaders killed, and a validator long away.

A leader is killed with SIGKILL the moment its own turn begins; what counts is the time until the next block
is final at a survivor. The validator that comes back is started again after a minute; it has caught up when
it is as high as the others are at that moment, and the start of its process is part of the time. Before all
that, the processor time of the four, idle, over 30 s; after it, polite stops, and how long a node that is
started again takes until it is connected to every other one.
"""

import json
import signal
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from chainspec.genesis import genesis_block
from chainspec.spec import parse_spec
from cli.testnet_processes import Testnet
from node.consensus.leaders import leader_schedule
from node.identity import session_seed
from node.rpc.client import ClientError, RpcClient
from primitives.block import block_hash
from primitives.committee import Committee
from primitives.signing import SigningKey
from primitives.types import AuthorityIndex, BlockNumber, EpochIndex

KILLS = 9
RESTARTS = 5
AWAY_S = 60.0
IDLE_S = 30.0
PATIENCE_S = 60.0
POLL_S = 0.005


def main() -> None:
    """Print one line of JSON."""
    with tempfile.TemporaryDirectory(prefix="consil-bench-") as temporary:
        testnet = Testnet.create(Path(temporary), validators=4)
        try:
            testnet.start()
            testnet.wait_finalized(5, timeout_s=PATIENCE_S)
            print(json.dumps(measure(testnet)))
        finally:
            testnet.stop()


def measure(testnet: Testnet) -> dict[str, Any]:
    """Every figure of the running network."""
    idle_percent = idle(testnet)
    leaders = Leaders(testnet)
    gaps = [leader_killed(testnet, leaders) for _ in range(KILLS)]
    return {
        "benchmark": "recovery",
        "validators": 4,
        "idle_cpu_percent_of_a_core_max": round(max(idle_percent), 1),
        "leader_kills": KILLS,
        "leader_kill_to_final_s_p50": round(median(gaps), 2),
        "leader_kill_to_final_s_max": round(max(gaps), 2),
        "away_s": AWAY_S,
        "back_to_caught_up_s": round(away(testnet, "validator-2"), 2),
        **restarts(testnet, "validator-3"),
    }


def idle(testnet: Testnet) -> list[float]:
    """Processor time of every node, in percent of a core."""
    processes = [process for plan in testnet.nodes if (process := testnet.process(plan.name))]
    before = [sum(process.cpu_times()[:2]) for process in processes]
    began = time.monotonic()
    time.sleep(IDLE_S)
    elapsed_s = time.monotonic() - began
    after = [sum(process.cpu_times()[:2]) for process in processes]
    return [100 * (late - early) / elapsed_s for early, late in zip(before, after, strict=True)]


class Leaders:
    """Whose turn a view is; the committee of such a network stays the same in every epoch."""

    def __init__(self, testnet: Testnet) -> None:
        genesis = genesis_block(parse_spec((testnet.directory / "chain.json").read_bytes()))
        self._genesis = block_hash(genesis.header)
        self._committee = genesis.committee
        self._names = {}
        for plan in testnet.nodes:
            keystore = testnet.directory / plan.name / "chains" / "testnet" / "keystore"
            key = SigningKey(session_seed(keystore)).public_key
            self._names[self._index_of(key)] = plan.name

    def of(self, epoch: int, view: int) -> str:
        """The node that leads a view."""
        seats = self._committee
        committee = Committee(
            epoch=EpochIndex(epoch),
            first_height=BlockNumber(1),
            last_height=BlockNumber(1),
            spec_version=seats.spec_version,
            members=seats.members,
        )
        schedule = leader_schedule(committee, self._genesis)
        return self._names[schedule[(view - 1) % len(schedule)]]

    def _index_of(self, key: bytes) -> AuthorityIndex:
        return next(
            AuthorityIndex(index) for index, member in enumerate(self._committee.members) if member.key == key
        )


def leader_killed(testnet: Testnet, leaders: Leaders) -> float:
    """Seconds from the end of a leader, in its turn, to the next final block; it is started again after."""
    observer = "validator-1"
    with testnet.rpc(observer) as client:

        def head() -> tuple[int, int, int]:
            header = client.call("chain_getHeader", client.call("chain_getFinalizedHead"))
            return header["height"], header["epoch"], header["view"]

        seen = head()
        while True:
            now = head()
            victim = leaders.of(now[1], now[2] + 1)
            if now != seen and victim != observer:
                break
            seen = now
            time.sleep(POLL_S)
        testnet.kill(victim)
        began = time.monotonic()
        _await(lambda: head()[0] > now[0])
        gap_s = time.monotonic() - began
    testnet.restart(victim)
    testnet.wait_finalized(now[0] + 5, PATIENCE_S)
    return gap_s


def away(testnet: Testnet, name: str) -> float:
    """Seconds from the start of a validator that was away to the height of the others."""
    testnet.kill(name)
    time.sleep(AWAY_S)
    began = time.monotonic()
    testnet.restart(name)
    with testnet.rpc("validator-1") as client:
        target = int(client.call("light_finalizedHeight"))
    testnet.wait_finalized(target, PATIENCE_S, [name])
    return time.monotonic() - began


def restarts(testnet: Testnet, name: str) -> dict[str, float]:
    """Polite stops, and the way back to every peer: from the start of the process, and from its answer."""
    stops, starts, connects = [], [], []
    for _ in range(RESTARTS):
        process = testnet.process(name)
        assert process is not None
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
        stops.append(time.monotonic() - began)
        began = time.monotonic()
        testnet.restart(name)
        with testnet.rpc(name) as client:
            _await(partial(_has_peers, client, 0))
            answered = time.monotonic()
            _await(partial(_has_peers, client, len(testnet.nodes) - 1))
        starts.append(time.monotonic() - began)
        connects.append(time.monotonic() - answered)
    return {
        "stop_s_p50": round(median(stops), 2),
        "stop_s_max": round(max(stops), 2),
        "start_to_all_peers_s_p50": round(median(starts), 2),
        "answer_to_all_peers_s_p50": round(median(connects), 2),
    }


def _has_peers(client: RpcClient, count: int) -> bool:
    """Whether the node answers, and has at least so many peers."""
    try:
        return int(client.call("system_health")["peers"]) >= count
    except ClientError:
        return False


def _await(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(POLL_S)


if __name__ == "__main__":
    main()
