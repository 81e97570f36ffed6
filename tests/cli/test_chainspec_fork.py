"""`consil chainspec fork`, on what a real node of a development chain left behind."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chainspec.spec import parse_spec
from tests.cli.conftest import Consil
from tests.cli.test_node import DEV, refused, running

Document = Callable[..., Any]
Refusal = Callable[..., str]

BOOT_NODE = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
QUIET = ("--rpc-port", "0", "--no-prometheus", "--log", "error")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base path of a development node that ran and was stopped."""
    base = tmp_path_factory.mktemp("old")
    with running(*DEV, "--base-path", base) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    return base


def options(base: Path, *more: object) -> tuple[object, ...]:
    given = ("--chain", "dev", "--base-path", base, "--id", "next", "--validator", "//Alice")
    return (*given, *more)


def test_a_development_chain_goes_on_as_another_one(base: Path, document: Document, tmp_path: Path) -> None:
    file = tmp_path / "next.json"
    forked = document("chainspec", "fork", file, *options(base, "--boot-node", BOOT_NODE))
    assert forked["issuance"] == 6_000_000 * 10**9
    assert document("chainspec", "validate", file)["genesisHash"] == forked["genesisHash"]
    spec = parse_spec(file.read_bytes())
    assert (spec.name, spec.id, spec.fork_id, len(spec.boot_nodes)) == ("next", "next", "next", 1)
    start = ("node", "run", "--chain", file, "--alice", *QUIET, "--base-path", tmp_path / "new")
    with running(*start) as (_, about):
        send = ("tx", "transfer", "//Bob", "1.5", "--from", "//Alice", "--wait", "--rpc", about["rpc"])
        assert document(*send)["height"] > 0
    (tmp_path / "next.state").unlink()  # needed once
    with running(*start):
        pass


def test_what_was_made_is_shown(base: Path, consil: Consil, tmp_path: Path) -> None:
    file = tmp_path / "next.json"
    made = consil("chainspec", "fork", file, *options(base, "--at", 0))
    assert made.exit_code == 0
    for text in ("next.state: ", "6000000 CNS in all", "after block 0 of dev", "0 were open"):
        assert text in made.stdout
    assert "of block 0 of dev, 0x" in consil("chainspec", "show", file).stdout


def test_a_node_without_the_state_says_what_to_do(base: Path, consil: Consil, tmp_path: Path) -> None:
    file = tmp_path / "next.json"
    consil("chainspec", "fork", file, *options(base))
    (tmp_path / "next.state").rename(tmp_path / "other.state")
    start = ("node", "run", "--chain", file, "--alice", *QUIET, "--base-path", tmp_path / "new")
    assert "cannot read" in refused(*start)
    (tmp_path / "next.state").write_bytes((tmp_path / "other.state").read_bytes()[:-1])
    assert "--sync snapshot" in refused(*start)
    assert not (tmp_path / "new" / "chains" / "next" / "db").exists()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--id", "dev"], "choose another --id"),
        (["--id", "UPPER"], "no chain can be like that: $.id"),
        (["--at", "999999"], "has no block 999999"),
        (["--chain", "local"], "there is no chain in"),
        (["--validator", "//Bob"], "the instant engine has one validator"),
        (["--validator", "//Bob=0x12"], "is not a session key"),
    ],
)
def test_an_impossible_fork_is_refused(
    base: Path, refusal: Refusal, tmp_path: Path, more: list[str], reason: str
) -> None:
    assert reason in refusal("chainspec", "fork", tmp_path / "x.json", *options(base, *more))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_ever_replaced(base: Path, refusal: Refusal, tmp_path: Path) -> None:
    file, state_file = tmp_path / "x.json", tmp_path / "x.state"
    for taken in (file, state_file):
        taken.write_text("precious")
        assert f"{taken} exists" in refusal("chainspec", "fork", file, *options(base))
        assert [(each, each.read_text()) for each in tmp_path.iterdir()] == [(taken, "precious")]
        taken.unlink()
    assert "where the state would go" in refusal("chainspec", "fork", state_file, *options(base))


def test_a_height_that_is_none_is_wrong_usage(base: Path, refusal: Refusal, tmp_path: Path) -> None:
    for wrong in ("-1", "newest", "9" * 20):
        assert "--at" in refusal("chainspec", "fork", tmp_path / "x", *options(base, "--at", wrong), code=2)


def test_a_running_node_is_not_disturbed(base: Path, refusal: Refusal, tmp_path: Path) -> None:
    with running(*DEV, "--base-path", base):
        assert "stop it first" in refusal("chainspec", "fork", tmp_path / "x.json", *options(base))
