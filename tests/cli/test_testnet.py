"""`consil testnet`: real processes, of a program that stands in for the node."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # published without type information
import pytest
from typer.testing import Result

from chainspec.spec import parse_spec
from cli.testnet_plan import DEFAULT_DIRECTORY, NODES_MAX, TestnetError, first_ports
from cli.testnet_processes import CONSIL, Testnet, uninterrupted
from node.keystore.store import Keystore
from node.network.identity import peer_id_of
from primitives.mnemonic import seed_from_uri
from primitives.signing import SigningKey
from tests.cli.conftest import Consil

FAKE_NODE = (sys.executable, str(Path(__file__).with_name("fake_node.py")))

Refusal = Callable[..., str]


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Testnet]:
    """Two validators and a full node, not started."""
    made = Testnet.create(tmp_path / "net", 2, 1, program=FAKE_NODE)
    yield made
    made.stop()


def pids(network: Testnet) -> list[int]:
    return [process.pid for plan in network.nodes if (process := network.process(plan.name))]


def test_a_new_network_has_a_chain_whose_validators_have_their_keys(network: Testnet) -> None:
    spec = parse_spec((network.directory / "chain.json").read_bytes())
    seats = spec.validators
    assert [(plan.name, plan.validator) for plan in network.nodes] == [
        ("validator-1", True),
        ("validator-2", True),
        ("node-1", False),
    ]
    base = network.directory
    stores = {
        plan.name: Keystore(base / plan.name / "chains" / spec.id / "keystore") for plan in network.nodes
    }
    for plan in network.nodes:
        assert peer_id_of(stores[plan.name].seed_of("node")) == plan.peer_id
    keys = [SigningKey(stores[plan.name].seed_of("session")).public_key for plan in network.nodes[:2]]
    assert [bytes(seat.session_key) for seat in seats] == keys
    accounts = [SigningKey(seed_from_uri(f"//{plan.name}")).public_key for plan in network.nodes]
    assert [bytes(seat.account) for seat in seats] == accounts[:2]
    assert spec.genesis.runtime_genesis is not None
    endowed = {bytes(one.account) for one in spec.genesis.runtime_genesis.config.balances.endowments}
    assert endowed > {*accounts}


def test_ports_differ_and_are_kept(network: Testnet) -> None:
    ports = [port for plan in network.nodes for port in (plan.p2p_port, plan.rpc_port, plan.metrics_port)]
    assert len(set(ports)) == 9
    assert Testnet.open(network.directory).nodes == network.nodes


def test_it_starts_finalizes_and_stops_without_a_trace(network: Testnet) -> None:
    network.start()
    network.wait_finalized(3, timeout_s=30)
    started = pids(network)
    assert [status.peers for status in network.status()] == [2, 2, 2]
    assert all(status.finalized and status.rss_bytes for status in network.status())
    assert len(started) == 3
    network.stop()
    assert pids(network) == []
    assert not any(psutil.pid_exists(pid) for pid in started)
    assert [status.pid for status in network.status()] == [None] * 3


def test_each_node_leads_its_own_group(network: Testnet) -> None:
    network.start()
    assert all(os.getpgid(pid) == pid for pid in pids(network))


def test_a_killed_node_is_down_and_restarts(network: Testnet) -> None:
    network.start()
    network.wait_finalized(1, timeout_s=30)
    before = network.process("validator-2")
    network.kill("validator-2")
    assert network.process("validator-2") is None
    network.wait_finalized(2, timeout_s=30, names=["validator-1", "node-1"])
    network.restart("validator-2")
    network.wait_finalized(1, timeout_s=30, names=["validator-2"])
    assert network.process("validator-2") != before


def test_restart_stops_a_running_node_first(network: Testnet) -> None:
    network.start()
    network.wait_finalized(1, timeout_s=30)
    before = network.process("node-1")
    assert before is not None
    network.restart("node-1")
    assert not before.is_running()


def test_another_object_stops_what_this_one_started(network: Testnet) -> None:
    network.start()
    other = Testnet.open(network.directory, program=FAKE_NODE)
    assert pids(other) == pids(network)
    other.kill("validator-1")
    other.restart("validator-1")
    network.stop()
    assert pids(other) == []


def test_a_reused_process_id_is_never_touched(network: Testnet) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        noted = {"pid": stranger.pid, "started": psutil.Process(stranger.pid).create_time() - 60}
        (network.directory / "node-1.pid").write_text(json.dumps(noted))
        assert network.process("node-1") is None
        network.stop()
        with pytest.raises(TestnetError, match="does not run"):
            network.kill("node-1")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_node_that_ignores_sigterm_is_killed(network: Testnet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.testnet_processes.STOP_TIMEOUT_S", 0.2)
    network.start()
    network.wait_finalized(1, timeout_s=30)
    process = network.process("node-1")
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    network.stop()
    assert pids(network) == []


def test_a_node_that_cannot_start_ends_the_wait_with_its_own_words(network: Testnet) -> None:
    (network.directory / "validator-1" / "refuse").touch()
    network.start()
    with pytest.raises(TestnetError, match="validator-1 has stopped: error: the disk is full; make room"):
        network.wait_finalized(1_000_000, timeout_s=30)


def test_a_late_block_names_the_log(network: Testnet) -> None:
    network.start()
    with pytest.raises(TestnetError, match="consil testnet logs validator-1"):
        network.wait_finalized(1_000_000, timeout_s=0.0)


def test_a_second_network_in_the_same_directory_is_refused(network: Testnet) -> None:
    with pytest.raises(TestnetError, match="there is a network in"):
        Testnet.create(network.directory)


@pytest.mark.parametrize(("validators", "nodes"), [(0, 0), (17, 0), (4, 13)])
def test_a_network_of_impossible_size_is_refused(tmp_path: Path, validators: int, nodes: int) -> None:
    with pytest.raises(TestnetError, match="at most 16 nodes"):
        Testnet.create(tmp_path / "net", validators, nodes)
    assert not (tmp_path / "net").exists()


def test_an_unwritable_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TestnetError, match="cannot write to"):
        Testnet.create(tmp_path / "file" / "net")


@pytest.mark.parametrize("content", ["", "{}", '[{"name": "a"}]', "[[]]"])
def test_a_damaged_description_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "testnet.json").write_text(content)
    with pytest.raises(TestnetError, match="cannot read"):
        Testnet.open(tmp_path)


def test_commands_without_a_network_say_how_to_make_one(refusal: Refusal, tmp_path: Path) -> None:
    for command in (["status"], ["logs"], ["kill", "node-1"], ["restart", "node-1"], ["down"]):
        assert "make one with `consil testnet up --dir" in refusal("testnet", *command, "--dir", tmp_path)


def test_an_unknown_node_lists_those_there_are(network: Testnet, refusal: Refusal) -> None:
    for command in ("kill", "restart", "logs"):
        line = refusal("testnet", command, "validator-9", "--dir", network.directory)
        assert "there are validator-1, validator-2, node-1" in line


def test_a_restart_that_fails_says_why(network: Testnet, refusal: Refusal) -> None:
    (network.directory / "chain.json").write_text("{}")
    line = refusal("testnet", "restart", "validator-1", "--dir", network.directory)
    assert "validator-1 has stopped: error: " in line


def test_up_refuses_another_shape_than_the_network_has(network: Testnet, refusal: Refusal) -> None:
    line = refusal("testnet", "up", "--validators", 3, "--dir", network.directory)
    assert "has 2 validators and 1 other nodes" in line


def test_status_logs_and_down_work_on_a_running_network(network: Testnet, consil: Consil) -> None:
    def run(*arguments: str) -> Result:
        return consil("testnet", *arguments, "--dir", network.directory)

    network.start()
    network.wait_finalized(1, timeout_s=30)
    assert "validator-2  validator" in run("status").stdout
    assert json.loads(run("status", "--json").stdout)[2]["role"] == "full node"
    assert "started node-1 as" in run("logs", "node-1").stdout
    assert "runs already" in run("up").stderr
    assert run("down", "--purge").exit_code == 0
    assert pids(network) == []
    assert not network.directory.exists()


@pytest.mark.parametrize("awaited", ["starting 1 nodes", "Ctrl-C stops every node"])
def test_ctrl_c_leaves_no_process_at_any_moment(tmp_path: Path, awaited: str) -> None:
    command = [*CONSIL, "testnet", "up", "--validators", "1", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as up:
        assert up.stdout is not None
        told = []
        for line in up.stdout:
            told.append(line)
            if awaited in line:
                up.send_signal(signal.SIGINT)
        assert up.wait() in (0, 130), told
    running = psutil.process_iter(["pid", "cmdline"])
    assert [one.pid for one in running if str(tmp_path) in " ".join(one.info["cmdline"] or ())] == []
    network = Testnet.open(tmp_path)
    assert pids(network) == []
    assert list(tmp_path.glob("*.pid")) == []


def test_a_signal_waits_until_a_started_process_is_noted() -> None:
    noted: list[str] = []

    def start() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            noted.append("the process")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert noted
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_networks_in_different_directories_have_different_ports() -> None:
    """Even if none of them runs, as when both are being made at the same time."""
    one, other = (first_ports(Path(name)) for name in ("/one", "/other"))
    assert min(abs(first - second) for first in one for second in other) >= NODES_MAX
    assert min(second - first for first, second in pairwise(one)) >= NODES_MAX
    assert first_ports(DEFAULT_DIRECTORY.expanduser())[1] == 9944
