"""Inference on real nodes: blobs and sealed inputs that travel; and models in blocks, with a validator whose
worker hangs at that moment, and a node that joins afterwards. The tests share one network.
"""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.testnet_processes import Testnet
from cli.testnet_votes import count_double_votes
from examples.demo.real import RealNetwork
from tests.cli.test_infer import WIDE, model_of, rectified, values
from tests.e2e.local import FOLLOWER, VALIDATORS, LocalNetwork, running
from tests.inference.build import two_layers

INPUT = "[5, -7, 100]"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNetwork]:
    """Four validators, and a full node that is not started with them."""
    made = Testnet.create(tmp_path_factory.mktemp("network"), len(VALIDATORS), 1)
    with running(made, *VALIDATORS) as network:
        yield network


def consil(network: LocalNetwork, node: str, *arguments: str) -> Any:
    url = network.testnet.plan(node).rpc_url
    done = CliRunner().invoke(app, [*arguments, "--rpc", url, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Deployed:
    """A model that can be run in blocks."""

    id: str
    file: Path
    blob: str

    def kept(self, network: LocalNetwork, node: str) -> Path:
        """Where a node keeps its file."""
        blobs = network.testnet.directory / node / "chains" / "testnet" / "blobs"
        return blobs / "pinned" / self.blob


def deploy(network: LocalNetwork, directory: Path) -> Deployed:
    """A model of Alice that every validator has, and that can be run from the newest block on."""
    file = directory / "model.onnx"
    file.write_bytes(two_layers())
    options = ("--name", "two layers", "--from", "//Alice", "--wait")
    model = str(consil(network, VALIDATORS[0], "model", "register", str(file), *options)["id"])
    made = consil(network, VALIDATORS[0], "model", "deploy", model, "--from", "//Alice")
    deployed = Deployed(model, file, made["blob"][2:])
    for node in VALIDATORS:
        network.await_state(f"{node} keeps the model", deployed.kept(network, node).exists)
    network.await_height(made["since"], *VALIDATORS)
    return deployed


@pytest.fixture(scope="module")
def deployed(network: LocalNetwork, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return deploy(network, tmp_path_factory.mktemp("model"))


def register(network: LocalNetwork, directory: Path, width: int) -> str:
    """A model of some width, registered and proven; its identity."""
    file = directory / f"{width}.onnx"
    file.write_bytes(model_of(width))
    options = ("--name", f"relu {width}", "--from", "//Alice", "--wait")
    return str(consil(network, VALIDATORS[0], "model", "register", str(file), *options)["id"])


def test_what_is_long_travels_by_its_hash(network: LocalNetwork, tmp_path: Path) -> None:
    model = register(network, tmp_path, WIDE)
    given = ("--input", json.dumps(values(WIDE)), "--from", "//Alice", "--wait")
    answer = consil(network, VALIDATORS[1], "infer", "request", model, *given)
    assert answer["values"] == rectified(WIDE)
    assert (answer["attestations"], answer["record"]["is_output_stored"]) == (4, True)
    shown = consil(network, VALIDATORS[2], "infer", "show", answer["request"])
    assert shown["values"] == rectified(WIDE)


def test_a_private_request_is_answered_to_its_requester(network: LocalNetwork, tmp_path: Path) -> None:
    model = register(network, tmp_path, 3)
    for node in VALIDATORS:
        account = f"//{node}"
        consil(network, node, "tx", "transfer", account, "5", "--from", "//Alice", "--wait")
        consil(network, node, "key", "seal", "--from", account, "--wait")
    keys = ("--keystore", str(tmp_path / "keys"))
    given = ("--input", json.dumps(values(3)), "--from", "//Alice", "--private", "--wait", *keys)
    answer = consil(network, VALIDATORS[0], "infer", "request", model, *given)
    assert answer["values"] == rectified(3)
    assert answer["attestations"] == 4
    stranger = consil(network, VALIDATORS[1], "infer", "show", answer["request"])
    assert stranger["answer"].startswith("sealed")


def test_a_model_is_measured_on_a_data_set_that_travels(network: LocalNetwork, tmp_path: Path) -> None:
    model = register(network, tmp_path, 4)
    samples = tmp_path / "samples.csv"
    samples.write_text("a,b,c,d,label\n9,1,2,3,0\n1,8,-3,4,1\n1,2,7,3,0\n")
    given = ("--samples", str(samples), "--name", "three", "--from", "//Alice")
    measured = consil(network, VALIDATORS[3], "model", "evaluate", model, *given)
    assert (measured["rows"], measured["correct"], measured["attestations"]) == (3, 2, 4)


def infer(network: LocalNetwork, model: Deployed) -> Any:
    return consil(network, VALIDATORS[0], "infer", "now", model.id, "--from", "//Alice", "--input", INPUT)


def test_who_cannot_run_the_model_neither_forks_nor_stays_behind(
    network: LocalNetwork, deployed: Deployed
) -> None:
    here = CliRunner().invoke(app, ["model", "run", str(deployed.file), "--input", INPUT, "--json"])
    first = infer(network, deployed)
    assert first["values"] == json.loads(here.stdout)["values"]

    victim, *others = reversed(VALIDATORS)
    network.await_height(first["height"], victim)
    stopped = network.children(victim)
    for worker in stopped:
        worker.send_signal(signal.SIGSTOP)
    second = infer(network, deployed)
    assert second["values"] == first["values"]
    network.await_height(second["height"] + 3, *others)
    network.await_height(second["height"] + 3, victim)
    assert not all(worker.is_running() for worker in stopped), "no worker was replaced"

    network.start(FOLLOWER)
    network.await_height(second["height"] + 3, FOLLOWER)
    for answer in (first, second):
        receipts = [
            network.ask(node, "state_call", "instant.receipt", [answer["id"]])
            for node in (*VALIDATORS, FOLLOWER)
        ]
        assert receipts == [receipts[0]] * 5
        assert receipts[0]["height"] == answer["height"]
    heights = range(1, second["height"] + 3)
    for height in (*heights[:2], *heights[-2:]):
        hashes = {network.ask(node, "chain_getBlockHash", height) for node in (*VALIDATORS, FOLLOWER)}
        assert len(hashes) == 1
    votes = [vote for node in VALIDATORS for vote in network.votes(node)]
    assert count_double_votes(votes, RealNetwork(network.testnet.directory).is_signed) == 0
    for node in (*VALIDATORS, FOLLOWER):
        assert "Traceback" not in network.log(node)


def checked(network: LocalNetwork, node: str) -> tuple[int, list[dict[str, str]]]:
    """What `consil node check` says of a stopped node."""
    directory = network.testnet.directory
    given = ("--chain", str(directory / "chain.json"), "--base-path", str(directory / node), "--json")
    result = CliRunner().invoke(app, ["node", "check", *given])
    return result.exit_code, json.loads(result.stdout)["findings"]


def test_who_lost_the_file_of_a_model_gets_it_from_the_others(
    network: LocalNetwork, deployed: Deployed
) -> None:
    victim = VALIDATORS[1]
    kept = deployed.kept(network, victim)
    network.kill(victim)
    kept.unlink()
    _, [found] = checked(network, victim)
    assert found["problem"].endswith("which blocks run, is missing")
    assert "start the node, which asks its peers for it" in found["advice"]
    network.start(victim)
    network.await_state("the file is back", kept.exists)
    answer = infer(network, deployed)
    network.await_height(answer["height"], *VALIDATORS)


def test_who_gets_the_file_from_nobody_does_not_vote_and_catches_up(
    network: LocalNetwork, deployed: Deployed
) -> None:
    victim, *others = VALIDATORS
    network.kill(victim)
    for node in (*VALIDATORS, FOLLOWER):
        deployed.kept(network, node).unlink(missing_ok=True)
    network.start(victim)
    heard = len(network.log(victim))
    network.await_state("nobody gives it", lambda: "cannot be had yet" in network.log(victim))
    url = network.testnet.plan(others[0]).rpc_url
    call = ["infer", "now", deployed.id, "--from", "//Alice", "--input", INPUT, "--rpc", url, "--json"]
    answer = json.loads(CliRunner().invoke(app, call).stdout)
    network.await_height(answer["height"] + 3, *others)
    assert network.height(victim) < answer["height"]
    assert "is not here yet" in network.log(victim)[heard:]
    with network.testnet.rpc(victim) as client:
        client.upload(deployed.file.read_bytes())
    network.await_height(answer["height"] + 3, victim)
    assert deployed.kept(network, victim).exists()
    assert "Traceback" not in network.log(victim)
