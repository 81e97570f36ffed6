"""A full node joins a running network by snapshot, and another joins from it when all others are gone.

Blocks of that network run a model. The state names it, but its file is not in the state.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.testnet_processes import CONSIL, Testnet
from examples.demo.real import LightReader, RealNetwork
from node.db.holds import HOLD_INTERVAL
from node.rpc.client import ClientError, RpcClient
from tests.e2e.local import VALIDATORS, LocalNetwork, running
from tests.e2e.test_inference import Deployed, checked, deploy, infer

EPOCH_BLOCKS = 16
FIRST, SECOND = "node-1", "node-2"


def hurry(chain: Path) -> None:
    """Blocks ten times a second: a state is held from the 64th on."""
    spec = json.loads(chain.read_bytes())
    spec["consensus"] |= {"blockTimeMs": 100, "deltaMs": 100, "epochLength": EPOCH_BLOCKS}
    chain.write_text(json.dumps(spec), encoding="utf-8")


@contextmanager
def joining(network: LocalNetwork, name: str, *bootnodes: str) -> Iterator[str]:
    """A node that joins by snapshot; its RPC URL."""
    testnet = network.testnet
    plan = testnet.plan(name)
    command = [*CONSIL, "node", "run", "--chain", str(testnet.directory / "chain.json"), "--name", name]
    command += ["--base-path", str(testnet.directory / name), "--sync", "snapshot", "--no-prometheus"]
    command += ["--listen", f"/ip4/127.0.0.1/tcp/{plan.p2p_port}", "--rpc-port", str(plan.rpc_port)]
    for bootnode in bootnodes:
        command += ["--bootnode", testnet.plan(bootnode).address]
    with testnet.log_file(name).open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield plan.rpc_url
    finally:
        process.terminate()
        assert process.wait(30) == 0, network.log(name)
        assert "Traceback" not in network.log(name)


def reached(url: str, height: int) -> bool:
    try:
        with RpcClient(url) as rpc:
            return bool(rpc.call("light_finalizedHeight") >= height)
    except ClientError:
        return False


def test_a_node_joins_by_snapshot_and_the_next_from_it_alone(tmp_path: Path) -> None:
    made = Testnet.create(tmp_path, len(VALIDATORS), 2)
    hurry(tmp_path / "chain.json")
    with running(made, *VALIDATORS) as network:
        model = deploy(network, tmp_path)
        before = infer(network, model)
        held = (before["height"] // HOLD_INTERVAL + 1) * HOLD_INTERVAL
        network.await_height(held + 2, *VALIDATORS)
        with joining(network, FIRST, *VALIDATORS) as url:
            network.await_state("it serves", lambda: reached(url, held))
            ensure_joined(network, FIRST)
            ensure_follows(network, model, url)
            assert LightReader(RealNetwork(network.testnet.directory)).read(url)["proof_bytes"] > 0
            network.kill(*VALIDATORS)
            goal = network.height(FIRST)
            with joining(network, SECOND, FIRST) as second:
                network.await_state("the second is where the first is", lambda: reached(second, goal))
                ensure_joined(network, SECOND)
                network.await_state("the second has the file", model.kept(network, SECOND).exists)
                hashes = {network.ask(node, "chain_getBlockHash", goal) for node in (FIRST, SECOND)}
                assert len(hashes) == 1
                reader = LightReader(RealNetwork(network.testnet.directory))
                assert reader.read(second)["proof_bytes"] > 0
        assert checked(network, FIRST) == (0, [])
        model.kept(network, FIRST).unlink()
        code, [finding] = checked(network, FIRST)
        assert (code, finding["part"]) == (1, "models")
        assert str(model.kept(network, FIRST)) in finding["advice"]


def ensure_follows(network: LocalNetwork, model: Deployed, url: str) -> None:
    """It executes blocks that run the model, to the same answer."""
    answer = infer(network, model)
    network.await_state("it follows", lambda: reached(url, answer["height"] + 3))
    receipts = [
        network.ask(node, "state_call", "instant.receipt", [answer["id"]]) for node in (VALIDATORS[0], FIRST)
    ]
    assert receipts == [receipts[0]] * 2
    assert receipts[0]["height"] == answer["height"]


def ensure_joined(network: LocalNetwork, node: str) -> None:
    """It has no blocks from before the state that it fetched, and says so."""
    assert "joined at block" in network.log(node)
    with pytest.raises(ClientError, match="joined by snapshot"):
        network.ask(node, "chain_getBlockHash", 1)
