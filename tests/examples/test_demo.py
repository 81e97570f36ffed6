"""What `make demo` promises: exit code, summary, and the name and reason of a step that fails."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from cli.testnet_processes import Testnet
from cli.testnet_votes import count_double_votes
from examples.demo import run
from examples.demo.run import perform, stop
from examples.demo.steps import steps
from primitives.types import Signature
from primitives.vote import Vote, VoteKind
from tests.cli.test_testnet import FAKE_NODE
from tests.examples.fakes import FakeNetwork, demo_on, nullify, vote

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.demo.steps.PATIENCE_S", 0.3)


def played(network: FakeNetwork, capsys: Captured) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON of the last line, and what went to standard error."""
    demo = demo_on(network)
    code = perform(demo, steps(demo))
    told = capsys.readouterr()
    return code, json.loads(told.out.splitlines()[-1]), told.err


def test_a_network_that_keeps_every_promise_ends_with_the_summary(capsys: Captured) -> None:
    network = FakeNetwork()
    code, summary, errors = played(network, capsys)
    assert (code, errors) == (0, "")
    assert summary["elapsed_s"] >= 0
    del summary["elapsed_s"]
    assert summary == {
        "ok": True,
        "validators": 4,
        "finalized_height": network.height - 20,
        "finality_ms_p50": 50.0,
        "transfer": {"hash": "0x01", "height": 7, "amount": "12.5"},
        "model": {"hash": "0xaa", "gas": 512, "agreement": {"matched": 113, "total": 114}},
        "inference": {
            "record": "0xcc",
            "output": {"class": 1, "margin": 2.5},
            "attestations": 4,
            "panel": 4,
        },
        "crash": {"killed": "validator-2", "caught_up": True, "double_votes": 0},
        "light_client": {
            "verified": True,
            "proof_bytes": 600,
            "certificate_bytes": 400,
            "forgery_refused": True,
        },
    }
    assert network.running == set()
    assert network.wanted == ["0xcc"]


AGREED = [{"conduct": "agreed"}]
SILENT = [{"conduct": "silent"}]
PLANTED = vote(7, 3, VoteKind.NOTARIZE, b"\x02" * 32)

BROKEN: list[tuple[str, FakeNetwork, str]] = [
    ("Start", FakeNetwork(refuses=frozenset({"testnet up"})), "`consil testnet up` ended with 1"),
    ("Start", FakeNetwork(started=("validator-1", "node-1")), "2 nodes are up"),
    ("Start", FakeNetwork(finalizes_with=5), "block 3 is not final after"),
    ("Transfer", FakeNetwork(refuses=frozenset({"tx transfer"})), "`consil tx transfer` ended with 1"),
    ("Transfer", FakeNetwork(moved=0), "//Bob's balance went from 0 to 0"),
    ("Transfer", FakeNetwork(transfer={"status": "pending"}), "the transfer is {'status': 'pending'}"),
    ("Transfer", FakeNetwork(transfer={"status": "finalized", "failure": "no"}), "'failure': 'no'"),
    ("Make", FakeNetwork(refuses=frozenset({"model convert"})), "`consil model convert` ended with 1"),
    ("Make", FakeNetwork(agreement={"matched": 99, "total": 99}), "only 99 samples were compared"),
    ("Make", FakeNetwork(model={"state": "rejected"}), "the model is rejected"),
    ("Make", FakeNetwork(model={"attestations": AGREED * 2 + SILENT * 2}), "only 2 validators proved"),
    ("Make", FakeNetwork(model={"exact_hash": "0xab"}), "the validators proved another model"),
    ("Diagnose", FakeNetwork(refuses=frozenset({"infer request"})), "`consil infer request` ended with 1"),
    ("Diagnose", FakeNetwork(answer={"status": "failed"}), "the request is failed"),
    ("Diagnose", FakeNetwork(answer={"panel": 3}), "the panel has 3 seats"),
    ("Diagnose", FakeNetwork(answer={"attestations": 2}), "only 2 validators attest"),
    ("Kill", FakeNetwork(dies=False), "validator-2 still answers"),
    ("Kill", FakeNetwork(finalizes_with=4), "is not final after"),
    ("Kill", FakeNetwork(comes_back=False), "validator-2 None"),
    ("Kill", FakeNetwork(votes=[*FakeNetwork().votes, PLANTED]), "1 pairs of conflicting votes"),
    ("Ask", FakeNetwork(proves=False), "could not verify the truth"),
    *(
        ("Ask", FakeNetwork(believes=frozenset({what})), f"believed a forged {what}")
        for what in ("value", "proof", "certificate", "header")
    ),
    ("Stop", FakeNetwork(stays=(4711,)), "processes [4711] still run"),
    ("Stop", FakeNetwork(vanishes=frozenset({"validator-4"})), "validator-4 ended before it was stopped"),
    ("Stop", FakeNetwork(refuses=frozenset({"testnet down"})), "`consil testnet down` ended with 1"),
    ("Stop", FakeNetwork(measured=()), "no leader has measured a finalization"),
]


@pytest.mark.parametrize(("step", "network", "reason"), BROKEN, ids=[f"{one[0]}: {one[2]}" for one in BROKEN])
def test_a_step_that_fails_is_named_with_its_reason(
    capsys: Captured, step: str, network: FakeNetwork, reason: str
) -> None:
    code, summary, errors = played(network, capsys)
    assert code == 1
    assert summary["ok"] is False
    assert summary["failed_step"].startswith(step)
    assert reason in summary["reason"]
    assert errors.strip() == f"failed in step '{summary['failed_step']}': {summary['reason']}"


def test_what_did_not_happen_is_absent_from_the_summary(capsys: Captured) -> None:
    _, summary, _ = played(FakeNetwork(dies=False), capsys)
    assert "transfer" in summary
    assert not {"crash", "light_client", "finalized_height"} & set(summary)


def test_ctrl_c_ends_it_like_a_failure(capsys: Captured) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    assert perform(demo_on(FakeNetwork()), [("Wait", interrupt)]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["reason"] == "interrupted"


def test_a_fault_of_the_demonstration_itself_is_told_like_a_failure(capsys: Captured) -> None:
    def fail() -> None:
        raise KeyError("height")

    assert perform(demo_on(FakeNetwork()), [("Wait", fail)]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out.splitlines()[-1])["reason"] == "KeyError: 'height'"
    assert "Traceback" in told.err


# Double votes


def is_signed(one: Vote) -> bool:
    return FakeNetwork().is_signed(one)


def test_one_conflicting_pair_among_many_votes_is_counted() -> None:
    votes = [vote(view, signer) for view in range(500) for signer in range(4)]
    votes += [nullify(view, signer) for view in range(500, 600) for signer in range(4)]
    votes += votes  # every node has seen the same votes
    Random(7).shuffle(votes)
    assert count_double_votes(votes, is_signed) == 0
    assert count_double_votes([*votes, vote(250, 3, VoteKind.NOTARIZE, b"\x02" * 32)], is_signed) == 1


def test_giving_up_a_view_conflicts_with_finalizing_in_it_alone() -> None:
    finalize = vote(7, 1, VoteKind.FINALIZE)
    assert count_double_votes([vote(7, 1), nullify(7, 1)], is_signed) == 0
    assert count_double_votes([vote(7, 1), finalize], is_signed) == 0
    assert count_double_votes([finalize, nullify(7, 1)], is_signed) == 1
    assert count_double_votes([finalize, nullify(7, 2), nullify(8, 1)], is_signed) == 0


def test_three_votes_against_each_other_are_three_pairs() -> None:
    votes = [vote(7, 1, VoteKind.NOTARIZE, bytes([block]) * 32) for block in range(3)]
    assert count_double_votes(votes, is_signed) == 3


def test_a_vote_that_nobody_signed_convicts_nobody() -> None:
    forged = msgspec.structs.replace(vote(7, 1, block=b"\x02" * 32), signature=Signature(b"\x01" * 64))
    assert count_double_votes([vote(7, 1), forged], is_signed) == 0


# The processes


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Testnet]:
    made = Testnet.create(tmp_path / "net", 2, 1, program=FAKE_NODE)
    yield made
    made.stop()


def test_whatever_happens_no_process_is_left(network: Testnet) -> None:
    network.start()
    network.wait_finalized(1, timeout_s=30)
    stop(network.directory)
    assert [network.process(plan.name) for plan in network.nodes] == [None, None, None]


def test_a_network_that_was_never_made_needs_no_stop(tmp_path: Path) -> None:
    stop(tmp_path)


@pytest.fixture
def handlers() -> Iterator[None]:
    """The demonstration takes over the signals of its process; the tests take them back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("no")])
def test_the_network_is_stopped_however_the_steps_end(
    network: Testnet, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """The directory of the demonstration is replaced by one with a running network."""
    network.start()
    network.wait_finalized(1, timeout_s=30)

    def fail(*_: Any) -> int:
        raise error

    monkeypatch.setattr(run, "perform", fail)
    monkeypatch.setattr("tempfile.TemporaryDirectory", lambda **_: _Kept(network.directory))
    with pytest.raises(type(error)):
        run.main()
    assert [network.process(plan.name) for plan in network.nodes] == [None, None, None]


class _Kept:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> str:
        return str(self._directory)

    def __exit__(self, *_: object) -> None:
        """The fixture owns the directory."""
