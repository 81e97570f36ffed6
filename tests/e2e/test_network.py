"""Four validators and a full node in processes of their own, which are killed, restarted and joined.

The tests share one network; each begins with every node of it running.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.testnet_votes import count_double_votes
from examples.demo.real import RealNetwork
from node.identity import journal_path
from primitives.types import PublicKey
from primitives.vote import VoteKind
from tests.e2e.local import FOLLOWER, LATECOMER, VALIDATORS, LocalNetwork, local_network, top_view

ALL = (*VALIDATORS, FOLLOWER)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNetwork]:
    with local_network(tmp_path_factory.mktemp("network")) as network:
        yield network
        for node in ALL:
            assert "Traceback" not in network.log(node)
    assert [status.pid for status in network.testnet.status()] == [None] * 6


@pytest.fixture
def network(shared: LocalNetwork) -> LocalNetwork:
    shared.start(*ALL)
    return shared


def consil(*arguments: str) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def transfer(network: LocalNetwork, node: str, *options: str) -> dict[str, Any]:
    """What `consil tx transfer` says, asking `node`."""
    rpc = network.testnet.plan(node).rpc_url
    sent: dict[str, Any] = consil("tx", "transfer", "//Bob", "1", "--from", "//Alice", "--rpc", rpc, *options)
    assert "failure" not in sent
    return sent


def places(network: LocalNetwork, sent: dict[str, Any], *nodes: str) -> set[tuple[str, str | None]]:
    """Status and block of a transfer, as each of the nodes has it."""
    found = [network.ask(node, "author_extrinsicStatus", sent["hash"]) for node in nodes]
    return {(status["status"], status.get("blockHash")) for status in found}


def double_votes(network: LocalNetwork) -> int:
    """Pairs of votes that convict their signer, among all that the validators have sent and received."""
    votes = [vote for node in VALIDATORS for vote in network.votes(node)]
    return count_double_votes(votes, RealNetwork(network.testnet.directory).is_signed)


def journal_of(network: LocalNetwork, node: str) -> Path:
    keystore = network.testnet.directory / node / "chains" / "testnet" / "keystore"
    [journal] = keystore.glob("*.votes")
    assert journal == journal_path(keystore, PublicKey(bytes.fromhex(journal.stem) + bytes(24)))
    return journal


def test_a_transfer_given_to_a_full_node_is_final_in_the_same_block_everywhere(network: LocalNetwork) -> None:
    sent = transfer(network, FOLLOWER, "--wait")
    network.await_height(sent["height"], *ALL)
    assert places(network, sent, *ALL) == {("finalized", sent["blockHash"])}


def test_a_killed_validator_is_not_missed_comes_back_and_contradicts_nothing(network: LocalNetwork) -> None:
    victim, *others = VALIDATORS
    workers = network.children(victim)
    network.kill(victim)
    network.await_state("its worker is gone", lambda: not any(worker.is_running() for worker in workers))
    before = journal_of(network, victim).read_bytes()
    network.await_height(max(network.height(node) for node in others) + 3, *others, FOLLOWER)
    network.start(victim)
    network.await_height(network.height(others[0]) + 2, victim)
    network.await_state("it votes", lambda: network.ask(victim, "system_consensus")["isVoting"])
    index = own_index(network, victim)
    resumed = top_view(network.votes(victim))
    network.await_state(
        "its vote arrives",
        lambda: any(
            vote.signer == index and (vote.epoch, vote.view) >= resumed for vote in network.votes(others[0])
        ),
    )
    after = journal_of(network, victim).read_bytes()
    assert after.startswith(before)
    assert len(after) > len(before)
    assert double_votes(network) == 0


def own_index(network: LocalNetwork, node: str) -> int:
    """The place of a validator in the committee."""
    committee = json.loads((network.testnet.directory / "chain.json").read_bytes())
    seats = committee["genesis"]["runtimeGenesis"]["config"]["session"]["validators"]
    return [seat["sessionKey"][2:18] for seat in seats].index(journal_of(network, node).stem)


def test_a_node_that_joins_late_follows_from_the_genesis_block(network: LocalNetwork) -> None:
    goal = network.height(FOLLOWER)
    network.start(LATECOMER)
    network.await_height(goal, LATECOMER)
    for height in (0, 1, goal):
        hashes = {network.ask(node, "chain_getBlockHash", height) for node in (LATECOMER, FOLLOWER)}
        assert len(hashes) == 1
    network.testnet.kill(LATECOMER)


def test_two_of_four_finalize_nothing_until_the_others_are_back(network: LocalNetwork) -> None:
    gone, left = VALIDATORS[:2], VALIDATORS[2:]
    network.kill(*gone)
    sent = transfer(network, left[0])
    signers = {own_index(network, node) for node in left}

    def both_gave_up() -> bool:
        votes = [vote for node in left for vote in network.votes(node)]
        view = top_view(votes)
        given_up = [vote for vote in votes if vote.kind == VoteKind.NULLIFY]
        return {vote.signer for vote in given_up if (vote.epoch, vote.view) == view} == signers

    network.await_state("the survivors give up a view", both_gave_up)
    assert places(network, sent, *left) == {("pending", None)}
    stuck = max(network.height(node) for node in (*left, FOLLOWER))
    network.start(gone[0])
    network.await_height(stuck + 3, gone[0], *left, FOLLOWER)
    network.await_state(
        "the transfer is final", lambda: places(network, sent, FOLLOWER) != {("unknown", None)}
    )
    network.start(gone[1])
    network.await_height(stuck + 3, *ALL)
    assert double_votes(network) == 0


def _is_final(network: LocalNetwork, sent: dict[str, Any]) -> bool:
    [(status, _)] = places(network, sent, FOLLOWER)
    return status == "finalized"


def test_what_was_final_is_final_after_all_have_lost_power_at_once(network: LocalNetwork) -> None:
    sent = transfer(network, VALIDATORS[0], "--wait")
    heights = {node: network.height(node) for node in ALL}
    network.kill(*ALL)
    network.start(*ALL)
    assert all(network.height(node) >= height for node, height in heights.items())
    network.await_height(max(heights.values()) + 2, *ALL)
    assert places(network, sent, *ALL) == {("finalized", sent["blockHash"])}
    assert double_votes(network) == 0


def sudo(network: LocalNetwork, *call: str) -> None:
    """Have //Alice run a call as root, and wait until that is final."""
    rpc = network.testnet.plan(FOLLOWER).rpc_url
    sent = consil("tx", "sudo", *call, "--from", "//Alice", "--wait", "--rpc", rpc)
    assert "failure" not in sent


def acting(network: LocalNetwork) -> set[str]:
    """The session keys of the epoch that the next block belongs to."""
    return {seat["key"] for seat in network.ask(FOLLOWER, "state_call", "session.acting", [])}


def author(network: LocalNetwork) -> str:
    """Of the newest finalized block."""
    found: str = network.ask(FOLLOWER, "chain_getHeader", network.ask(FOLLOWER, "chain_getFinalizedHead"))[
        "author"
    ]
    return found


def test_a_validator_leaves_and_enters_again_without_a_restart(network: LocalNetwork) -> None:
    leaver, everyone = VALIDATORS[-1], acting(network)
    process = network.testnet.process(leaver)
    sudo(network, "validators.remove", "--account", f"//{leaver}")
    network.await_state("it has left", lambda: len(acting(network)) == 3)
    [key] = everyone - acting(network)
    network.await_height(network.height(FOLLOWER) + 3, *ALL)
    assert not network.ask(leaver, "system_consensus")["isVoting"]
    sudo(network, "validators.add", "--account", f"//{leaver}", "--stake", "1")
    network.await_state("it is back", lambda: acting(network) == everyone)
    network.await_state("it proposes", lambda: author(network) == key)
    assert network.testnet.process(leaver) == process
    assert double_votes(network) == 0
