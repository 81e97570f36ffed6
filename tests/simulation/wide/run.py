"""Measure consensus on a world-wide network: `python -m tests.simulation.wide.run --nodes 100`.

Validators stand in 25 cities with measured delays between them, and hold unequal stake. Time is simulated;
the processor time of engine and codec is that of this machine. Prints one line of JSON.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from statistics import median, quantiles
from typing import Any

from node.consensus.interface import Build, Epoch, Settings
from node.consensus.leaders import leader_schedule
from primitives.block import BODY, GENESIS_PARENT, Block, Body, Header, block_hash, body_root
from primitives.committee import Committee, Member, committee_root
from primitives.extrinsic import Call, Extrinsic, Mortality
from primitives.hashing import blake2b_256
from primitives.types import (
    AccountId,
    Balance,
    BlockNumber,
    EpochIndex,
    Hash,
    Nonce,
    PublicKey,
    Signature,
    SpecVersion,
    Stake,
    TimestampMs,
    View,
)
from tests.simulation.keys import SimulatedKey, make_keys
from tests.simulation.wide.cities import cities, read_delays
from tests.simulation.wide.node import Node, Records
from tests.simulation.wide.world import Wide

SETTINGS = Settings(block_time_ms=2_000, delta_ms=1_000)
"""What CONSENSUS recommends for a wide network."""

CUT_MS = (20_000.0, 50_000.0)
"""From when to when a region is cut off, in the scenario that has it."""

REGION = frozenset({"Sydney", "Auckland", "Tokyo", "Seoul", "Hong Kong", "Singapore", "Jakarta", "Pune"})
"""Asia and Oceania."""

PATIENCE_MS = 600_000.0
ZERO = Hash(bytes(32))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run."""

    nodes: int
    blocks: int
    transfers: int = 0
    """In every block."""

    megabits_per_s: float = 100.0
    """Uplink of every node."""

    scenario: str = "well"
    """`well`, `silent` (almost a third of the stake does nothing) or `region` (one is cut off)."""

    real_keys: bool = True
    seed: int = 1


PLANS = (
    *(Plan(nodes=nodes, blocks=30) for nodes in (4, 16, 50, 100)),
    *(Plan(nodes=nodes, blocks=30, transfers=1_000, real_keys=False) for nodes in (4, 16, 50, 100)),
    *(Plan(nodes=100, blocks=30, transfers=count, real_keys=False) for count in (100, 250, 500)),
    Plan(nodes=100, blocks=30, transfers=1_000, megabits_per_s=1000.0, real_keys=False),
    Plan(nodes=100, blocks=30, scenario="silent", real_keys=False),
    Plan(nodes=100, blocks=40, scenario="region", real_keys=False),
)
"""The runs of docs/scale.md."""


class Network:
    """All nodes of a run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.records = Records()
        delays = read_delays()
        self.world = Wide(delays, plan.megabits_per_s * 1_000_000 / 8 / 1000, Random(plan.seed))
        places = cities(delays)
        keys, verifier = make_keys(plan.nodes, are_real=plan.real_keys)
        self.body = _body(plan.transfers)
        epoch = _epoch(keys)
        self.epoch = epoch
        self.nodes = [
            Node(self.world, places[index % len(places)], key, epoch, verifier, self.records, self._build)
            for index, key in enumerate(keys)
        ]
        if plan.scenario == "silent":
            self._silence()
        if plan.scenario == "region":
            self.world.cut = self._is_cut

    def play(self) -> None:
        """Run until every node that takes part has finalized the blocks of the plan."""
        for node in self.nodes:
            if not node.is_silent:
                self.world.at(self.world.random.random() * 100, node.start)
        able = [node.index for node in self.nodes if not node.is_silent]
        heights, goal = self.records.heights, self.plan.blocks
        self.world.run(PATIENCE_MS, lambda: all(heights.get(index, 0) >= goal for index in able))

    def _build(self, request: Build, author: PublicKey) -> Block:
        body = Body((), ()) if request.is_empty else self.body
        header = Header(
            epoch=request.epoch,
            view=request.view,
            height=BlockNumber(request.parent.height + 1),
            parent=block_hash(request.parent),
            state_root=ZERO,
            body_root=body_root(body),
            events_root=ZERO,
            timestamp_ms=request.timestamp_ms,
            author=author,
            next_set=None,
        )
        return Block(header, body)

    def _silence(self) -> None:
        """Take out nodes, the smallest first, as long as less than a third of the stake is gone."""
        members = self.epoch.committee.members
        gone, total = 0, sum(member.stake for member in members)
        for index in sorted(range(len(members)), key=lambda index: members[index].stake):
            gone += members[index].stake
            if 3 * gone >= total:
                break
            self.nodes[index].is_silent = True

    def _is_cut(self, sender: int, receiver: int) -> bool:
        if not CUT_MS[0] <= self.world.now_ms < CUT_MS[1]:
            return False
        return (self.nodes[sender].city in REGION) != (self.nodes[receiver].city in REGION)


def measure(plan: Plan) -> dict[str, Any]:
    """The figures of one run."""
    network = Network(plan)
    network.play()
    records, world = network.records, network.world
    final = [name for name in records.proposed_ms if name in records.committed_ms]
    at_author, at_median = [], []
    for name in final:
        proposed_ms, author = records.proposed_ms[name]
        times = records.committed_ms[name]
        if author in times:
            at_author.append(times[author] - proposed_ms)
        at_median.append(median(times.values()) - proposed_ms)
    first = sorted(min(records.committed_ms[name].values()) for name in final)
    intervals = [late - early for early, late in pairwise(first)]
    able = [node for node in network.nodes if not node.is_silent]
    blocks = max(records.heights.values())
    per = len(able) * blocks
    return {
        "nodes": plan.nodes,
        "scenario": plan.scenario,
        "blocks": blocks,
        "transfers_per_block": plan.transfers,
        "block_kb": round(len(BODY.encode(network.body)) / 1000, 1),
        "megabits_per_s": plan.megabits_per_s,
        "signatures": "ed25519" if plan.real_keys else "stand-in",
        "finality_ms_p50": round(median(at_author)),
        "finality_ms_p99": _p99(at_author),
        "finality_everywhere_ms_p50": round(median(at_median)),
        "finality_everywhere_ms_p99": _p99(at_median),
        "interval_ms_p50": round(median(intervals)),
        "interval_ms_max": round(max(intervals)),
        "kb_sent_per_node_and_block": round(sum(each.sent_bytes for each in world.traffic) / per / 1000, 1),
        "frames_received_per_node_and_block": round(
            sum(each.received_frames for each in world.traffic) / per
        ),
        "processor_ms_per_node_and_block": round(1000 * sum(node.processor_s for node in able) / per, 2),
        "certificate_bytes": records.certificate_bytes,
        "simulated_s": round(world.now_ms / 1000, 1),
    }


def _p99(values: Sequence[float]) -> int:
    return round(quantiles(values, n=100, method="inclusive")[98])


def _epoch(keys: Sequence[SimulatedKey]) -> Epoch:
    """One long epoch; stakes fall with the square root of the rank."""
    members = tuple(
        Member(PublicKey(key.public_key), Stake(round(1000 / (rank + 1) ** 0.5)))
        for rank, key in enumerate(keys)
    )
    committee = Committee(
        epoch=EpochIndex(1),
        first_height=BlockNumber(1),
        last_height=BlockNumber(1_000_000),
        spec_version=SpecVersion(1),
        members=members,
    )
    genesis = Header(
        epoch=EpochIndex(0),
        view=View(0),
        height=BlockNumber(0),
        parent=GENESIS_PARENT,
        state_root=ZERO,
        body_root=body_root(Body((), ())),
        events_root=ZERO,
        timestamp_ms=TimestampMs(0),
        author=PublicKey(bytes(32)),
        next_set=committee_root(committee),
    )
    leaders = leader_schedule(committee, block_hash(genesis))
    return Epoch(committee=committee, anchor=genesis, leaders=leaders, settings=SETTINGS)


def _body(transfers: int) -> Body:
    """Transfers that nobody checks; their execution is modelled by a rate."""

    def transfer(number: int) -> Extrinsic:
        salt = blake2b_256(number.to_bytes(8, "big"))
        return Extrinsic(
            AccountId(salt),
            Nonce(number),
            Mortality(64, BlockNumber(0)),
            Balance(0),
            Call(2, 0, salt + bytes(12)),
            Signature(salt + salt),
        )

    return Body((), tuple(transfer(number) for number in range(transfers)))


def main(arguments: Sequence[str]) -> int:
    """Exit code 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.wide.run", description=__doc__)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--blocks", type=int, default=30)
    parser.add_argument("--transfers", type=int, default=0, help="in every block")
    parser.add_argument("--megabits", type=float, default=100.0, help="uplink of every node")
    parser.add_argument("--scenario", choices=("well", "silent", "region"), default="well")
    parser.add_argument("--fast-keys", action="store_true", help="stand-ins for signatures")
    parser.add_argument("--all", action="store_true", help="every run of docs/scale.md instead, an hour")
    options = parser.parse_args(arguments)
    if options.all:
        for plan in PLANS:
            print(json.dumps(measure(plan)), flush=True)
        return 0
    plan = Plan(
        nodes=options.nodes,
        blocks=options.blocks,
        transfers=options.transfers,
        megabits_per_s=options.megabits,
        scenario=options.scenario,
        real_keys=not options.fast_keys,
    )
    print(json.dumps(measure(plan)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
