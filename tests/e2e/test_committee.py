"""A committee that changes while the network runs: nobody is restarted, and finality never stops."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.testnet_processes import Testnet
from cli.testnet_votes import count_double_votes
from examples.demo.real import RealNetwork
from primitives.vote import Vote
from tests.e2e.local import VALIDATORS, LocalNetwork, running

JOINER: Final = "validator-5"
EVERYBODY: Final = (*VALIDATORS, JOINER)
EPOCH_BLOCKS: Final = 6
STILL_MS_MAX: Final = 15_000
"""Longest time between the timestamps of two blocks, which are half a second apart where all is well."""


@pytest.fixture
def network(tmp_path: Path) -> Iterator[LocalNetwork]:
    """Five nodes that validate, of which four are in the first committee; epochs of three seconds."""
    made = Testnet.create(tmp_path / "network", len(EVERYBODY))
    file = made.directory / "chain.json"
    spec = json.loads(file.read_bytes())
    spec["consensus"]["epochLength"] = EPOCH_BLOCKS
    session = spec["genesis"]["runtimeGenesis"]["config"]["session"]
    session["validators"] = session["validators"][: len(VALIDATORS)]
    file.write_text(json.dumps(spec))
    with running(made, *EVERYBODY) as network:
        yield network


def consil(network: LocalNetwork, node: str, *arguments: str) -> Any:
    url = network.testnet.plan(node).rpc_url
    done = CliRunner().invoke(app, [*arguments, "--rpc", url, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def as_root(network: LocalNetwork, *call: str) -> None:
    consil(network, VALIDATORS[0], "tx", "sudo", *call, "--from", "//Alice", "--wait")


def acting(network: LocalNetwork) -> list[dict[str, Any]]:
    found = network.ask(VALIDATORS[0], "state_call", "session.acting", [])
    assert isinstance(found, list)
    return found


def await_committee(
    network: LocalNetwork, what: str, holds: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    network.await_state(what, lambda: holds(acting(network)))
    return acting(network)


def is_voting(network: LocalNetwork, node: str) -> bool:
    return bool(network.ask(node, "system_consensus")["isVoting"])


def heard(network: LocalNetwork, key: str, since: int) -> bool:
    """Whether another validator counted a vote of a session key in an epoch after `since`."""
    epoch = network.ask(VALIDATORS[0], "system_consensus")["epoch"]
    signers = {one["key"]: index for index, one in enumerate(acting(network))}
    votes = network.votes(VALIDATORS[0])
    return any(since < vote.epoch == epoch and vote.signer == signers.get(key) for vote in votes)


def longest_still_ms(network: LocalNetwork) -> int:
    """The longest time that passed between two final blocks."""
    height = network.height(VALIDATORS[0])
    hashes = [network.ask(VALIDATORS[0], "chain_getBlockHash", each) for each in range(1, height + 1)]
    headers = [network.ask(VALIDATORS[0], "chain_getHeader", each) for each in hashes]
    times = [int(header["timestampMs"]) for header in headers]
    return max(later - sooner for sooner, later in pairwise(times))


def test_join_change_replace_and_leave_without_a_restart(network: LocalNetwork, tmp_path: Path) -> None:
    pids = {status.name: status.pid for status in network.testnet.status()}
    light = ["--chain", str(network.testnet.directory / "chain.json"), "--dir", str(tmp_path / "light")]
    started = CliRunner().invoke(app, ["light", "init", *light])
    assert started.exit_code == 0, started.output

    assert not is_voting(network, JOINER)
    consil(network, JOINER, "key", "rotate-session", "--from", f"//{JOINER}", "--wait")
    as_root(network, "validators.add", "--account", f"//{JOINER}", "--stake", "1")
    await_committee(network, "five seats", lambda seats: len(seats) == 5)
    network.await_state("the joiner votes", lambda: is_voting(network, JOINER))
    joined = acting(network)[4]["key"]
    network.await_state("its vote is heard", lambda: heard(network, joined, 0))

    as_root(network, "validators.set_stake", "--account", "//validator-1", "--stake", "3")
    await_committee(network, "another stake", lambda seats: seats[0]["stake"] == 3)

    before = acting(network)[1]["key"]
    consil(network, VALIDATORS[1], "key", "rotate-session", "--from", "//validator-2", "--wait")
    assert acting(network)[1]["key"] == before or network.ask(
        VALIDATORS[1], "author_hasSessionKeys", acting(network)[1]["key"]
    )
    seats = await_committee(network, "another key", lambda seats: seats[1]["key"] != before)
    network.await_state("it votes with the new key", lambda: heard(network, seats[1]["key"], 1))
    assert is_voting(network, VALIDATORS[1])

    as_root(network, "validators.remove", "--account", "//validator-3")
    await_committee(network, "four seats", lambda seats: len(seats) == 4)
    network.await_state("who left is silent", lambda: not is_voting(network, VALIDATORS[2]))
    network.await_height(network.height(VALIDATORS[0]) + 2 * EPOCH_BLOCKS, *EVERYBODY)

    synced = consil(network, JOINER, "light", "sync", *light)
    assert synced["epoch"] >= acting_epoch(network) - 1
    votes: list[Vote] = [vote for node in EVERYBODY for vote in network.votes(node)]
    assert count_double_votes(votes, RealNetwork(network.testnet.directory).is_signed) == 0
    assert longest_still_ms(network) < STILL_MS_MAX
    assert {status.name: status.pid for status in network.testnet.status()} == pids
    assert not any("Traceback" in network.log(node) for node in EVERYBODY)


def acting_epoch(network: LocalNetwork) -> int:
    return int(network.ask(VALIDATORS[0], "system_consensus")["epoch"])
