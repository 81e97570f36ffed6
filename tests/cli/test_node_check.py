"""`consil node check` on what a real node left behind."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.cli.test_node import DEV, running

Consil = Callable[..., Result]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base path of a development node that ran and was stopped."""
    base = tmp_path_factory.mktemp("node")
    with running(*DEV, "--base-path", base) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    return base


def test_a_whole_node_is_found_whole(base: Path, consil: Consil, document: Callable[..., Any]) -> None:
    told = document("node", "check", "--chain", "dev", "--base-path", base)
    assert told["ok"]
    assert told["findings"] == []
    assert {"keystore", "database", "blocks", "state", "undo", "blobs", "attestation"} <= told["facts"].keys()
    shown = consil("node", "check", "--chain", "dev", "--base-path", base)
    assert shown.exit_code == 0
    assert shown.stdout.rstrip().endswith("nothing is wrong")


def test_what_is_wrong_is_told_with_what_to_do(base: Path, consil: Consil) -> None:
    directory = base / "chains" / "dev"
    key = directory / "keystore" / "node.seed"
    blob = directory / "blobs" / "cached" / ("ab" * 32)
    key.chmod(0o644)
    blob.write_bytes(b"something else")
    try:
        result = consil("node", "check", "--chain", "dev", "--base-path", base, "--json")
    finally:
        key.chmod(0o600)
        blob.unlink()
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert [found["part"] for found in told["findings"]] == ["keystore", "blobs"]
    assert "chmod 600" in told["findings"][0]["problem"]
    assert "remove" in told["findings"][1]["advice"]


def test_a_running_node_is_not_disturbed(base: Path, consil: Consil) -> None:
    with running(*DEV, "--base-path", base):
        result = consil("node", "check", "--chain", "dev", "--base-path", base)
    assert result.exit_code == 1
    assert "in use by another process" in " ".join(result.stdout.split())


def test_a_directory_without_a_node_is_refused(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "there is no node in" in refusal("node", "check", "--chain", "dev", "--base-path", tmp_path)
