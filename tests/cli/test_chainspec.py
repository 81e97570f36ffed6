"""`consil chainspec`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chainspec.presets import PRESETS
from chainspec.spec import SudoConfig, parse_spec
from primitives.ss58 import encode_address
from primitives.types import AccountId
from tests.cli.conftest import Consil

Document = Callable[..., Any]
Refusal = Callable[..., str]

BUILD = ("--id", "mine", "--validator", "//Alice", "--endow", "//Bob=1000")


def test_the_presets_are_listed(document: Document) -> None:
    assert [preset["id"] for preset in document("chainspec", "presets")] == list(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_shown_and_valid(document: Document, consil: Consil, preset: str) -> None:
    shown = document("chainspec", "show", preset)
    assert shown["spec"]["id"] == preset
    assert document("chainspec", "validate", preset)["genesisHash"] == shown["genesisHash"]
    assert shown["genesisHash"] in consil("chainspec", "show", preset).stdout


def test_a_built_file_is_valid_and_says_what_was_asked(document: Document, tmp_path: Path) -> None:
    file = tmp_path / "chain.json"
    built = document("chainspec", "build", file, *BUILD, "--fork-id", "two")
    spec = parse_spec(file.read_bytes())
    assert (spec.id, spec.name, spec.fork_id, spec.consensus.engine) == ("mine", "mine", "two", "simplex")
    assert document("chainspec", "validate", file)["genesisHash"] == built["genesisHash"]


def test_a_built_chain_has_the_root_that_was_named(
    document: Document, consil: Consil, tmp_path: Path
) -> None:
    for index, sudo in enumerate([(), ("--sudo", "//Bob")]):
        file = tmp_path / f"{index}.json"
        document("chainspec", "build", file, *BUILD, *sudo)
        genesis = parse_spec(file.read_bytes()).genesis.runtime_genesis
        assert genesis is not None
        bob = genesis.config.balances.endowments[0].account
        assert genesis.config.sudo == (SudoConfig(key=bob) if sudo else None)
        shown = consil("chainspec", "show", file).stdout
        assert f"root        {encode_address(AccountId(bytes(bob))) if sudo else 'nobody'}" in shown


def test_an_existing_file_is_never_replaced(consil: Consil, refusal: Refusal, tmp_path: Path) -> None:
    file = tmp_path / "chain.json"
    file.write_text("precious")
    assert "exists" in refusal("chainspec", "build", file, *BUILD)
    assert file.read_text() == "precious"


def test_an_unwritable_directory_is_one_line(refusal: Refusal, tmp_path: Path) -> None:
    assert "cannot write" in refusal("chainspec", "build", tmp_path / "no" / "chain.json", *BUILD)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--validator", "nobody"], "no account 'nobody'"),
        (["--validator", "//Bob=0x12"], "is not a session key"),
        (["--endow", "//Bob"], "write ACCOUNT=TOKENS"),
        (["--validator", "//Alice"], "two validators have the same account"),
        (["--validator", "//Bob", "--pace", "instant"], "the instant engine has one validator"),
    ],
)
def test_an_impossible_chain_is_refused(
    refusal: Refusal, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    file = tmp_path / "chain.json"
    assert reason in refusal("chainspec", "build", file, *BUILD, *arguments, "--keystore", tmp_path)
    assert not file.exists()


def test_an_unknown_pace_is_wrong_usage(refusal: Refusal, tmp_path: Path) -> None:
    assert "instant, local, wide" in refusal(
        "chainspec", "build", tmp_path / "x", *BUILD, "--pace", "x", code=2
    )


def test_a_tampered_specification_names_the_wrong_key(
    consil: Consil, refusal: Refusal, tmp_path: Path
) -> None:
    file = tmp_path / "chain.json"
    consil("chainspec", "build", file, *BUILD)
    good = json.loads(file.read_text())
    for change, path in (
        ({"extra": 1}, "extra"),
        ({"id": "UPPER"}, "$.id"),
        ({"consensus": good["consensus"] | {"blockTimeMs": 0}}, "$.consensus.blockTimeMs"),
    ):
        file.write_text(json.dumps(good | change))
        line = refusal("chainspec", "validate", file)
        assert path in line
        assert "correct it" in line


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000])
def test_what_is_no_json_is_refused(refusal: Refusal, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "chain.json"
    file.write_bytes(content)
    assert str(file) in refusal("chainspec", "validate", file)


def test_a_missing_file_lists_the_presets(refusal: Refusal, tmp_path: Path) -> None:
    assert "a preset: dev, local" in refusal("chainspec", "show", tmp_path / "none.json")
