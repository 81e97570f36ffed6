"""The drill for a network that lost half of its validators: its chain goes on as another one.

Everything is done by the commands of the operator's guide, with real processes.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cli.main import app
from cli.testnet_plan import NodePlan
from cli.testnet_processes import Testnet
from tests.e2e.local import LocalNetwork, running

PEOPLE = ("//Alice", "//Bob", "//Charlie", "//Eve", "//validator-1")
MODEL = "0x" + "b1" * 32


def consil(*arguments: object) -> Any:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@contextmanager
def nodes(directory: Path, names: Sequence[str], chain: str) -> Iterator[LocalNetwork]:
    """The nodes of `directory`/chain.json, which all vote, with the keys that they have."""
    plans = []
    for name in names:
        peer = consil("key", "node-key", directory / name / "chains" / chain / "keystore")["peerId"]
        plans.append(
            NodePlan(name=name, validator=True, peer_id=peer, p2p_port=0, rpc_port=0, metrics_port=0)
        )
    with running(Testnet(directory, plans), *names) as network:
        yield network


def fork(old: Path, node: str, new: Path, id_: str, names: Sequence[str]) -> Any:
    """The commands of the guide: keys for the new validators, then the new specification."""
    seats = []
    for name in names:
        keystore = new / name / "chains" / id_ / "keystore"
        seats += ["--validator", f"//{name}={consil('key', 'session-key', keystore)['sessionKey']}"]
    where = ("--chain", old / "chain.json", "--base-path", old / node)
    return consil("chainspec", "fork", new / "chain.json", *where, "--id", id_, *seats)


def money(network: LocalNetwork, node: str) -> dict[str, int]:
    """What people have, held or not."""
    rpc = network.testnet.plan(node).rpc_url
    found = {who: consil("query", "account", who, "--rpc", rpc) for who in PEOPLE}
    return {who: int(account["free"]) + int(account["held"]) for who, account in found.items()}


def pay(network: LocalNetwork, node: str, *options: str) -> Any:
    rpc = network.testnet.plan(node).rpc_url
    return consil("tx", "transfer", "//Eve", "1.5", "--from", "//Bob", "--rpc", rpc, *options)


def test_a_chain_that_lost_half_its_stake_goes_on_as_another_one(tmp_path: Path) -> None:
    old = Testnet.create(tmp_path / "old", 4)
    names = [plan.name for plan in old.nodes]
    with nodes(old.directory, names, "testnet") as network:
        rpc = network.testnet.plan(names[0]).rpc_url
        pay(network, names[0], "--wait")
        model = ("--blob", MODEL, "--size-bytes", 1000, "--name", "lost", "--price", 5)
        consil("tx", "submit", "models.register", *model, "--from", "//Alice", "--wait", "--rpc", rpc)
        network.kill(*names[2:])
        sent = pay(network, names[0])["hash"]  # into a pool from which no block takes it any more
        before = money(network, names[0])
        assert network.ask(names[0], "author_extrinsicStatus", sent)["status"] == "pending"

    four = ("eve", "frank", "gina", "hugo")
    forked = fork(old.directory, names[0], tmp_path / "four", "next", four)
    assert (forked["forkedFrom"]["chain"], forked["cancelledJobs"]) == ("testnet", 1)
    with nodes(tmp_path / "four", four, "next") as network:
        assert money(network, "eve") == before
        done = pay(network, "eve", "--wait")
        network.await_height(done["height"] + 2, *four)
        assert {network.ask(node, "chain_getBlockHash", done["height"]) for node in four} == {
            done["blockHash"]
        }
        before = money(network, "hugo")
    check(tmp_path / "four", "eve")

    again = fork(tmp_path / "four", "hugo", tmp_path / "one", "last", ("ivan",))
    assert again["issuance"] <= forked["issuance"]
    with nodes(tmp_path / "one", ("ivan",), "last") as network:
        assert money(network, "ivan") == before
        assert pay(network, "ivan", "--wait")["height"] > 0
    check(tmp_path / "one", "ivan")


def check(directory: Path, node: str) -> None:
    where = ("--chain", directory / "chain.json", "--base-path", directory / node)
    assert consil("node", "check", *where)["findings"] == []
