"""`consil node run`: real processes on a development chain, started and stopped as an operator would."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.node import terminable, throwaway
from cli.testnet_processes import CONSIL
from node.rpc.client import RpcClient

Document = Callable[..., Any]
Refusal = Callable[..., str]

DEV = ("node", "run", "--chain", "dev", "--alice", "--rpc-port", "0", "--no-prometheus", "--log", "error")


@contextmanager
def running(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A node process and what it says about itself once it serves."""
    command = [*CONSIL, *map(str, arguments), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.communicate()
            text += line
        yield process, json.loads(text)
    finally:
        process.kill()
        process.communicate()


def refused(*arguments: object) -> str:
    """The one line with which the process ends."""
    done = subprocess.run(
        [*CONSIL, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly_and_the_chain_goes_on(
    document: Document, tmp_path: Path, number: signal.Signals
) -> None:
    with running(*DEV, "--base-path", tmp_path) as (process, about):
        send = ("tx", "transfer", "//Bob", "1.5", "--from", "//Alice", "--wait", "--rpc", about["rpc"])
        sent = document(*send)
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    with running(*DEV, "--base-path", tmp_path) as (_, about), RpcClient(about["rpc"]) as client:
        assert client.call("author_extrinsicStatus", sent["hash"])["status"] == "finalized"


def catches(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal by now."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    [mask] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_it_stops_cleanly_while_it_still_loads(tmp_path: Path) -> None:
    """The signal comes as soon as the process can catch it, long before anything is served."""
    process = subprocess.Popen(
        [*CONSIL, *DEV, "--tmp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        while not catches(process, signal.SIGTERM):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        shown, errors = process.communicate(timeout=30)
        assert (process.returncode, shown, errors) == (0, "", "")
    finally:
        process.kill()
        process.communicate()
    assert list(tmp_path.iterdir()) == []


def test_a_signal_while_the_directory_is_made_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def interrupted(directory: Path, mode: int) -> None:
        make(directory, mode)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(SystemExit), terminable(), ExitStack() as stack:
        throwaway(stack)
    assert list(tmp_path.iterdir()) == []


def test_a_throw_away_chain_leaves_nothing_behind() -> None:
    with running("node", "run", "--dev", "--rpc-port", 0, "--no-prometheus") as (process, about):
        directory = Path(about["directory"])
        assert directory.exists()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    assert not directory.exists()


def test_a_second_start_and_a_busy_port_are_refused_and_harm_nothing(tmp_path: Path) -> None:
    with running(*DEV, "--base-path", tmp_path / "one") as (process, about):
        assert "is in use by another process" in refused(*DEV, "--base-path", tmp_path / "one")
        port = about["rpc"].rpartition(":")[2]
        busy = refused(*DEV, "--base-path", tmp_path / "two", "--rpc-port", port)
        assert "pass another --rpc-port" in busy
        with RpcClient(about["rpc"]) as client:
            assert client.call("system_chain") == "Development"
        assert process.poll() is None


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    with running(*DEV, "--base-path", tmp_path) as (process, about):
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    data = Path(about["directory"]) / "db" / "data.mdb"
    data.write_bytes(os.urandom(data.stat().st_size))
    assert "is damaged" in refused(*DEV, "--base-path", tmp_path)


def test_the_directory_of_another_chain_is_refused(document: Document, tmp_path: Path) -> None:
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for file, tokens in zip(files, (1, 2), strict=True):
        build = ("--id", "same", "--validator", "//Alice", "--endow", f"//Bob={tokens}", "--pace", "instant")
        document("chainspec", "build", file, *build)
    with running(*DEV, "--chain", files[0], "--base-path", tmp_path):
        pass
    assert "not this one" in refused(*DEV, "--chain", files[1], "--base-path", tmp_path)


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot write to" in refused(*DEV, "--base-path", tmp_path / "file" / "x")


def test_an_unknown_chain_is_refused(refusal: Refusal) -> None:
    assert "a preset: dev, local" in refusal("node", "run", "--chain", "nowhere")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--alice", "--bob"], "a node votes with one key"),
        (["--listen", "127.0.0.1:30333"], "write /ip4/ADDRESS/tcp/PORT"),
        (["--bootnode", "/ip4/1.2.3.4/udp/1"], "not a TCP multiaddress"),
        (["--bootnode", "/ip4/1.2.3.4/tcp/1"], "add /p2p/ID"),
        (["--state-history", "3"], "a number from 32"),
        (["--rpc-port", "70000"], "--rpc-port"),
        (["--log", "loud"], "debug, info, warning or error"),
    ],
)
def test_wrong_options_are_wrong_usage(refusal: Refusal, arguments: list[str], reason: str) -> None:
    assert reason in refusal("node", "run", *arguments, code=2)
