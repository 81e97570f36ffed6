"""Faults of a local network: what is written for the nodes, who is told of it, and what the commands say."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.testnet_faults import NetworkFaults
from cli.testnet_plan import TestnetError
from cli.testnet_processes import Testnet
from node.network.fault_plan import FaultPlan, LinkFaults
from tests.cli.conftest import Consil
from tests.cli.test_testnet import FAKE_NODE

ONE, TWO, THREE, FULL = "validator-1", "validator-2", "validator-3", "node-1"
CUT = LinkFaults(cut=True)

Refusal = Callable[..., str]
Document = Callable[..., Any]


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Testnet]:
    """Three validators and a full node, not started."""
    made = Testnet.create(tmp_path / "net", 3, 1, program=FAKE_NODE)
    yield made
    made.stop()


def links(network: Testnet) -> dict[tuple[str, str], LinkFaults]:
    """Every harmed link, by the names of sender and receiver."""
    names = {plan.peer_id: plan.name for plan in network.nodes}
    return {
        (plan.name, names[peer]): link
        for plan in network.nodes
        for peer, link in network.faults(plan.name).links.items()
    }


def test_a_partition_cuts_both_ways_and_the_unnamed_are_one_more_group(network: Testnet) -> None:
    parts = NetworkFaults(network).partition([[ONE, FULL]])
    assert parts == [[ONE, FULL], [TWO, THREE]]
    assert links(network) == {
        pair: CUT for a in (ONE, FULL) for b in (TWO, THREE) for pair in ((a, b), (b, a))
    }


def test_a_partition_replaces_the_one_before_and_keeps_what_is_slow(network: Testnet) -> None:
    faults = NetworkFaults(network)
    faults.delay(200, 50, ONE, TWO)
    faults.partition([[ONE]])
    faults.partition([[THREE]])
    found = links(network)
    assert found.pop((ONE, TWO)) == LinkFaults(delay_ms=200, jitter_ms=50)
    assert found == {pair: CUT for a in (ONE, TWO, FULL) for pair in ((a, THREE), (THREE, a))}


def test_delay_is_one_way_and_loss_is_both(network: Testnet) -> None:
    faults = NetworkFaults(network)
    faults.delay(200, 0, ONE, TWO)
    faults.lose(30, ONE, THREE)
    lossy = LinkFaults(loss=0.3)
    assert links(network) == {(ONE, TWO): LinkFaults(delay_ms=200), (ONE, THREE): lossy, (THREE, ONE): lossy}
    faults.delay(0)
    assert links(network) == {(ONE, THREE): lossy, (THREE, ONE): lossy}


def test_healing_leaves_no_fault_but_a_wrong_clock(network: Testnet) -> None:
    faults = NetworkFaults(network)
    faults.set_clock(ONE, -10_000)
    faults.partition([[ONE]])
    faults.lose(10)
    assert faults.describe()[ONE] == (
        f"cut from {TWO}, {THREE}, {FULL}; 10 % loss to everyone; clock -10000 ms"
    )
    faults.heal()
    assert [network.faults(plan.name) for plan in network.nodes] == [
        FaultPlan(clock_ms=-10_000),
        FaultPlan(),
        FaultPlan(),
        FaultPlan(),
    ]
    faults.set_clock(ONE, 0)
    assert faults.describe() == {}


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ([], "that is one group"),
        ([[ONE, TWO, THREE, FULL]], "that is one group"),
        ([[ONE], [TWO, ONE]], "named twice"),
        ([["validator-9"]], "no node 'validator-9': there are validator-1"),
    ],
)
def test_an_impossible_partition_changes_nothing(
    network: Testnet, groups: list[list[str]], reason: str
) -> None:
    with pytest.raises(TestnetError, match=reason):
        NetworkFaults(network).partition(groups)
    assert links(network) == {}


def test_an_impossible_fault_changes_nothing(network: Testnet) -> None:
    faults = NetworkFaults(network)
    impossible: tuple[Callable[[], None], ...] = (
        lambda: faults.delay(60_001),
        lambda: faults.delay(1, 0, ONE, ONE),
        lambda: faults.delay(1, 0, ONE, "validator-9"),
        lambda: faults.lose(91),
        lambda: faults.set_clock(ONE, 10**9),
    )
    for attempt in impossible:
        with pytest.raises(TestnetError):
            attempt()
    assert NetworkFaults(network).describe() == {}


def test_only_nodes_whose_faults_change_are_told_and_none_dies_of_it(network: Testnet) -> None:
    """The stand-in does not listen to SIGHUP; a node that is being born does not either."""
    network.start()
    NetworkFaults(network).delay(5, 0, ONE, TWO)
    NetworkFaults(network).partition([[ONE]])
    network.wait_finalized(1, timeout_s=30)
    assert all(network.process(plan.name) for plan in network.nodes)
    assert signal.getsignal(signal.SIGHUP) != signal.SIG_IGN


def test_a_paused_node_is_shown_and_resumes(network: Testnet, document: Document) -> None:
    network.start()
    network.wait_finalized(1, timeout_s=30)
    where = ("--dir", network.directory)
    assert document("testnet", "pause", TWO, *where) == {"paused": TWO}
    shown = {node["name"]: node for node in document("testnet", "status", *where)}
    assert (shown[TWO]["paused"], shown[TWO]["finalized"], shown[ONE]["paused"]) == (True, None, False)
    assert document("testnet", "resume", TWO, *where) == {"resumed": TWO}
    network.wait_finalized(2, timeout_s=30, names=[TWO])


def test_a_paused_node_stops_politely(network: Testnet) -> None:
    network.start()
    network.wait_finalized(1, timeout_s=30)
    network.pause(ONE)
    network.stop()
    assert "stopped when told to" in network.log_file(ONE).read_text()


def test_the_commands_write_what_they_say(network: Testnet, document: Document, consil: Consil) -> None:
    where = ("--dir", network.directory)
    assert document("testnet", "partition", f"{ONE},{TWO}", f"{THREE},{FULL}", *where) == {
        "groups": [[ONE, TWO], [THREE, FULL]]
    }
    assert document("testnet", "delay", ONE, TWO, 200, "--jitter", 5, *where)["from"] == ONE
    assert document("testnet", "loss", "30%", *where) == {"lossPercent": 30.0, "between": None}
    status = consil("testnet", "status", *where).stdout
    assert f"{ONE}: cut from {THREE}, {FULL}; 200 ms and up to 5 ms, 30 % loss to {TWO}; " in status
    [first, *_] = json.loads(consil("testnet", "status", "--json", *where).stdout)
    assert {"delay_ms": 200, "jitter_ms": 5, "loss": 0.3} in first["faults"]["links"].values()
    assert document("testnet", "heal", *where)["healed"] == [ONE, TWO, THREE, FULL]
    assert links(network) == {}


def test_what_cannot_be_done_is_one_line(network: Testnet, refusal: Refusal) -> None:
    where = ("--dir", network.directory)
    assert "does not run" in refusal("testnet", "pause", ONE, *where)
    assert "does not run" in refusal("testnet", "resume", ONE, *where)
    assert "that is one group" in refusal("testnet", "partition", "", *where)
    assert "no whole number" in refusal("testnet", "delay", "soon", *where, code=2)
    assert "write [FROM TO] MS" in refusal("testnet", "delay", ONE, "5", *where, code=2)
    assert "is no number" in refusal("testnet", "loss", "much", *where, code=2)
    (network.directory / f"{ONE}.faults").write_text("nonsense")
    assert "remove it" in refusal("testnet", "heal", *where)
