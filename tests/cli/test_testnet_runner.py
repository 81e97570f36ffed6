"""Scenarios on processes that stand in for nodes: what is done, and what makes a scenario fail."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cli.offences import HISTORICAL
from cli.testnet_genesis import account_of_node
from cli.testnet_plan import TestnetError
from cli.testnet_processes import Testnet
from cli.testnet_runner import Runner
from cli.testnet_scenario import Scenario, parse_scenario
from cli.testnet_watch import Watcher
from frame.validators import Historical
from node.keystore.store import Keystore
from primitives.committee import Member
from primitives.hashing import blake2b_256
from primitives.signing import SigningKey
from primitives.types import AuthorityIndex, BlockHash, EpochIndex, Stake, View
from primitives.vote import VOTE, Vote, VoteKind, vote_message
from tests.cli.test_testnet import FAKE_NODE, pids

HEAD = 'about = "x"\ntimeout_s = 60\n[network]\nvalidators = 3\n'
ONE, TWO, THREE = "validator-1", "validator-2", "validator-3"


def scenario(*steps: str, head: str = HEAD) -> Scenario:
    return parse_scenario(head + "".join(f"[[steps]]\n{one}\n" for one in steps), "test")


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Testnet]:
    """Three validators, not started."""
    made = Testnet.create(tmp_path / "net", 3, program=FAKE_NODE)
    for name in (ONE, TWO, THREE):
        tell(made, name, "history", history(made, ONE, TWO, THREE))
    yield made
    made.stop()


def played(
    network: Testnet, *steps: str, head: str = HEAD, time_scale: float = 1.0
) -> tuple[Runner, list[str]]:
    told: list[str] = []
    runner = Runner(scenario(*steps, head=head), network, told.append, time_scale)
    runner.run()
    return runner, told


def failure(network: Testnet, *steps: str, head: str = HEAD) -> str:
    with pytest.raises(TestnetError) as error:
        played(network, *steps, head=head)
    return str(error.value)


def tell(network: Testnet, name: str, what: str, content: str = "") -> None:
    (network.directory / name / what).write_text(content)


def history(network: Testnet, *names: str) -> str:
    """The record of a committee of these, in their order, on the chain of the stand-in."""
    keys = [SigningKey(Keystore(keystore(network, name)).seed_of("session")).public_key for name in names]
    committee = replace(
        Watcher(network).genesis.committee, members=tuple(Member(key, Stake(1)) for key in keys)
    )
    accounts = tuple(account_of_node(name) for name in names)
    return "0x" + HISTORICAL.encode(Historical(BlockHash(bytes(32)), committee, accounts)).hex()


def keystore(network: Testnet, name: str) -> Path:
    return network.directory / name / "chains" / "testnet" / "keystore"


def vote(network: Testnet, name: str, block: bytes) -> str:
    """A vote of the first view, for the chain of the stand-in, whose block 0 has a hash of zeros."""
    index, anchor = AuthorityIndex(int(name[-1]) - 1), BlockHash(bytes(32))
    message = vote_message(anchor, VoteKind.NOTARIZE, EpochIndex(1), View(1), block)
    signature = SigningKey(Keystore(keystore(network, name)).seed_of("session")).sign(message)
    signed = Vote(VoteKind.NOTARIZE, EpochIndex(1), View(1), block, index, signature)
    return "0x" + VOTE.encode(signed).hex()


def equivocate(network: Testnet, name: str) -> None:
    """Let a node have seen two votes of itself for different blocks."""
    tell(network, name, "votes", json.dumps([vote(network, name, blake2b_256(b"%d" % n)) for n in (1, 2)]))


def test_every_kind_of_step_is_done_in_order(network: Testnet) -> None:
    runner, told = played(
        network,
        'do = "wait"\nheight = 3',
        'do = "pause"\nnodes = ["validator-2"]',
        'do = "wait"\nblocks = 2',
        'do = "resume"',
        'do = "partition"\ngroups = [["validator-1"]]',
        'do = "delay"\nms = 5\nfrom = "validator-2"\nto = "validator-3"',
        'do = "loss"\npercent = 10',
        'do = "clock"\nnode = "validator-3"\nahead_ms = 10',
        'do = "heal"',
        'do = "stop"\nnodes = ["validator-1"]',
        'do = "start"',
        'do = "kill"\nnodes = ["$leader"]',
        'do = "wait"\nblocks = 1',
        'do = "restart"\nnodes = ["$leader"]',
        'do = "voting"\nis = true',
        'do = "event"\nname = "balances.Transferred"',
        'do = "log"\nnode = "validator-1"\ncontains = "started validator-1 as"',
        'do = "same-chain"',
        'do = "no-double-votes"',
    )
    assert [line.split(" ")[1].rstrip(":") for line in told[1:-2]] == [
        *("wait", "pause", "wait", "resume", "partition", "delay", "loss", "clock", "heal", "stop", "start"),
        *("kill", "wait", "restart", "voting", "event", "log", "same-chain", "no-double-votes"),
    ]
    assert [wait["after"] for wait in runner.figures.waits] == ["start", "pause", "kill"]
    assert runner.figures.kills == 1
    assert [network.faults(name).clock_ms for name in (ONE, TWO, THREE)] == [0, 0, 10]
    assert len(pids(network)) == 3


def test_random_kills_end_with_everybody_running(network: Testnet) -> None:
    kills = 'do = "random-kill"\nfor_s = 10\nevery_s = 0.2\ndown_s = 0.1\nseed = 1'
    runner, _ = played(network, kills, time_scale=0.05)
    assert runner.figures.kills > 0
    assert len(pids(network)) == 3


def test_files_are_copied_restored_and_removed_while_a_node_is_down(network: Testnet) -> None:
    home = network.directory / ONE / "chains" / "testnet"
    (home / "db").mkdir()
    (home / "db" / "data").write_text("old")
    steps = [f'do = "{act}"\nnode = "validator-1"' for act in ("copy-database", "restore-database")]
    assert "validator-1 runs: stop or kill it before" in failure(network, steps[0])
    stopped = 'do = "stop"\nnodes = ["validator-1"]'
    played(network, stopped, steps[0])
    (home / "db" / "data").write_text("new")
    played(network, stopped, steps[1], 'do = "remove-journal"\nnode = "validator-1"')
    assert (home / "db" / "data").read_text() == "old"
    assert list((home / "keystore").glob("*.votes")) == []
    assert "has no vote journal" in failure(network, stopped, 'do = "remove-journal"\nnode = "validator-1"')
    stopped, restored = (
        'do = "stop"\nnodes = ["validator-2"]',
        'do = "restore-database"\nnode = "validator-2"',
    )
    assert "there is no copy" in failure(network, stopped, restored)


def test_a_node_that_ends_by_itself_is_noticed_or_expected(network: Testnet) -> None:
    tell(network, TWO, "end")
    line = failure(network, 'do = "heal"')
    assert line == "start the network: validator-2 has stopped: error: this is the end"
    (network.directory / TWO / "end").unlink()
    tell(network, TWO, "brief")
    limited = 'do = "limit-disk"\nnode = "validator-2"'
    _, told = played(network, limited, 'do = "ended"\nnode = "validator-2"')
    assert "no file beyond" in told[1]
    assert told[2].endswith("error: it was brief")


def test_what_does_not_come_in_time_fails_with_its_step(network: Testnet) -> None:
    line = failure(network, 'do = "wait"\nheight = 1000000\ntimeout_s = 0.3')
    assert line.startswith(
        "1. wait height=1000000 timeout_s=0.3: not within 0.3 s: block 1000000 at validator-1"
    )
    assert "no new block for 5 s" in failure(network, 'do = "finality-stops"\nfor_s = 5\ntimeout_s = 0.3')
    assert "says 'x'" in failure(network, 'do = "log"\nnode = "validator-1"\ncontains = "x"\ntimeout_s = 0.3')
    assert "do not vote" in failure(network, 'do = "voting"\nis = false\ntimeout_s = 0.3')
    metric = 'do = "metric"\nnode = "validator-1"\nname = "n"\nis = "<"\nvalue = 1\ntimeout_s = 0.3'
    assert "n < 1 at validator-1" in failure(network, metric)


def test_what_others_think_of_a_node_is_seen(network: Testnet, monkeypatch: pytest.MonkeyPatch) -> None:
    peer, account = network.plan(ONE).peer_id, account_of_node(ONE)
    banned = 'do = "banned"\nnode = "validator-1"\ntimeout_s = 1'
    convicted = 'do = "convicted"\nnode = "validator-1"\nby = ["validator-2"]\ntimeout_s = 1'
    tell(network, TWO, "banned", peer)
    assert "validator-2, validator-3 ban validator-1" in failure(network, banned)
    tell(network, THREE, "banned", peer)
    assert "validator-2 proves no offences" in failure(network, convicted)
    monkeypatch.setattr(Watcher, "offenders", lambda *_: frozenset())
    assert "validator-2 prove an offence of validator-1" in failure(network, convicted)
    monkeypatch.setattr(Watcher, "offenders", lambda _, name: {account} if name == TWO else set())
    _, told = played(network, banned, convicted)
    assert told[1].endswith("validator-2, validator-3 ban validator-1")
    assert told[2].endswith("validator-2 prove an offence of validator-1")


def test_memory_and_finality_are_held_against_a_bound(network: Testnet) -> None:
    _, told = played(network, 'do = "memory"\nbelow_mib = 1000', 'do = "finality"\np50_ms = 20')
    assert told[2].endswith("validator-1 20 ms, validator-2 20 ms, validator-3 20 ms")
    assert "more memory than 1 MiB" in failure(network, 'do = "memory"\nbelow_mib = 1')
    assert "half of the blocks took more than 19 ms" in failure(network, 'do = "finality"\np50_ms = 19')


def test_finality_that_stops_is_seen(network: Testnet) -> None:
    for name in (ONE, TWO, THREE):
        tell(network, name, "stall")
    _, told = played(network, 'do = "finality-stops"\nfor_s = 0.3')
    assert told[1].endswith("nothing after block 0")


def test_nodes_with_different_blocks_fail_the_scenario(network: Testnet) -> None:
    tell(network, TWO, "fork")
    assert failure(network, 'do = "wait"\nheight = 3').startswith("same chain: block 0 is 0x00")


def test_a_double_vote_fails_the_scenario_unless_its_author_is_expected(network: Testnet) -> None:
    equivocate(network, TWO)
    assert "validator-2 voted twice, not nobody" in failure(network, 'do = "no-double-votes"')
    assert "validator-2 voted twice, not nobody" in failure(network, 'do = "heal"')
    expecting = HEAD + '[expect]\ndouble_voters = ["validator-2"]\n'
    runner, _ = played(network, 'do = "heal"', head=expecting)
    assert (runner.figures.double_votes, runner.figures.votes) == (1, 2)
    expecting = HEAD + '[expect]\ndouble_voters = ["validator-1"]\n'
    assert "validator-2 voted twice, not validator-1" in failure(network, 'do = "heal"', head=expecting)


def test_a_double_vote_is_that_of_the_committee_of_its_epoch(network: Testnet) -> None:
    equivocate(network, TWO)
    for name in (ONE, TWO, THREE):
        tell(network, name, "history", history(network, THREE, TWO, ONE))
    assert "validator-2 voted twice, not nobody" in failure(network, 'do = "heal"')
    for name in (ONE, TWO, THREE):
        tell(network, name, "history", history(network, TWO, THREE, ONE))
    runner, _ = played(network, 'do = "heal"')
    assert runner.figures.double_votes == 0, "nobody with this seat signed them"


def test_votes_that_nobody_signed_convict_nobody(network: Testnet) -> None:
    honest, forged = (vote(network, TWO, blake2b_256(text)) for text in (b"1", b"2"))
    forged = forged[:-2] + f"{int(forged[-2:], 16) ^ 1:02x}"
    tell(network, TWO, "votes", json.dumps([honest, forged]))
    runner, _ = played(network, 'do = "heal"')
    assert (runner.figures.double_votes, runner.figures.votes) == (0, 2)


def test_a_node_can_be_run_by_another_program(tmp_path: Path) -> None:
    network = Testnet.create(tmp_path / "net", 2, program=FAKE_NODE, programs={TWO: "tests.cli.fake_node"})
    try:
        network.start()
        network.wait_finalized(1, timeout_s=30)
        process = network.process(TWO)
        assert process is not None
        assert process.cmdline()[1:5] == ["-m", "tests.cli.fake_node", "node", "run"]
    finally:
        network.stop()


def test_the_command_refuses_what_is_no_scenario(tmp_path: Path, refusal: Callable[..., str]) -> None:
    (tmp_path / "bad.toml").write_text(HEAD + '[[steps]]\ndo = "dance"\n')
    assert "steps[0].do: Invalid value 'dance'" in refusal("testnet", "run", tmp_path / "bad.toml")
    assert "No such file" in refusal("testnet", "run", tmp_path / "none.toml")


def test_the_summary_names_what_was_measured(network: Testnet) -> None:
    from cli.testnet_run import document_of

    runner, _ = played(network, 'do = "wait"\nheight = 1')
    found: dict[str, Any] = document_of(scenario('do = "heal"'), None, 1.234, runner.figures)
    assert {key: found[key] for key in ("scenario", "ok", "failure", "elapsed_s", "double_votes")} == {
        "scenario": "test",
        "ok": True,
        "failure": None,
        "elapsed_s": 1.2,
        "double_votes": 0,
    }
    assert found["slowest_wait_s"] == found["waits"][0]["s"]
