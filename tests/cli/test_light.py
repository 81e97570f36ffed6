"""`consil light` against a node that proves what it says, and against one that lies."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.light.messages import ProvedRead
from primitives.block import block_hash
from runtime.constants import TOKEN
from tests.cli.conftest import Consil
from tests.cli.fake_rpc import serving
from tests.cli.proving_node import (
    ProvingNode,
    forge_absence,
    forge_certificate,
    forge_header,
    forge_value,
    hexed,
)

Document = Callable[..., Any]
Refusal = Callable[..., str]


@pytest.fixture
def spec(consil: Consil, tmp_path: Path) -> Path:
    file = tmp_path / "chain.json"
    made = consil("chainspec", "build", file, "--id", "mine", "--validator", "//Alice", "--endow", "//Bob=7")
    assert made.exit_code == 0
    return file


@pytest.fixture
def node(spec: Path) -> Iterator[ProvingNode]:
    made = ProvingNode(spec)
    with serving(made):
        yield made


@pytest.fixture
def common(spec: Path, tmp_path: Path) -> tuple[object, ...]:
    return ("--chain", spec, "--dir", tmp_path / "light")


def test_it_starts_from_the_genesis_block(document: Document, spec: Path, common: tuple[object, ...]) -> None:
    begun = document("light", "init", *common)
    assert begun["genesis"] == document("chainspec", "show", spec)["genesisHash"]
    assert (begun["height"], begun["epoch"], begun["validators"]) == (0, 1, 1)
    assert document("light", "status", *common) == begun


def test_it_follows_to_the_newest_final_block(
    document: Document, node: ProvingNode, common: tuple[object, ...]
) -> None:
    document("light", "init", *common)
    synced = document("light", "sync", *common, "--rpc", node.url)
    assert (synced["height"], synced["block"]) == (1, hexed(block_hash(node.header)))
    assert document("light", "status", *common) == synced


def test_a_value_and_an_absence_are_proved(
    document: Document, consil: Consil, node: ProvingNode, common: tuple[object, ...]
) -> None:
    document("light", "init", *common)
    common = (*common, "--rpc", node.url)
    found = document("light", "read", "system.accounts", "//Bob", *common)
    assert (found["value"]["free"], found["height"]) == (7 * TOKEN, 1)
    assert found["proofBytes"] > found["certificateBytes"] > 0
    assert document("light", "read", "system.accounts", "//Nobody", *common)["value"] is None
    assert "7 CNS" in consil("light", "read", "balances.total_issuance", *common).stdout
    assert "proved absent" in consil("light", "read", "system.accounts", "//Nobody", *common).stdout


@pytest.mark.parametrize("lie", [forge_value, forge_absence, forge_header, forge_certificate])
def test_a_lie_is_refused_and_nothing_is_believed(
    document: Document,
    refusal: Refusal,
    node: ProvingNode,
    common: tuple[object, ...],
    lie: Callable[[ProvedRead], ProvedRead],
) -> None:
    begun = document("light", "init", *common)
    node.lie = lie
    line = refusal("light", "read", "system.accounts", "//Bob", *common, "--rpc", node.url)
    assert "wrong proof" in line
    assert "ask another" in line
    assert document("light", "status", *common) == begun


@pytest.mark.parametrize("answer", ["0x", "0xff", 7, None, {}])
def test_garbage_is_refused(
    document: Document, refusal: Refusal, node: ProvingNode, common: tuple[object, ...], answer: object
) -> None:
    document("light", "init", *common)
    node.methods["light_finalityProof"] = lambda height: answer
    assert "wrong proof" in refusal("light", "sync", *common, "--rpc", node.url)


def test_without_a_beginning_the_line_says_how(refusal: Refusal, common: tuple[object, ...]) -> None:
    for command in ("status", "sync"):
        assert "consil light init" in refusal("light", command, *common)


def test_another_chain_with_the_same_name_is_refused(
    consil: Consil, refusal: Refusal, common: tuple[object, ...], tmp_path: Path
) -> None:
    consil("light", "init", *common)
    other = tmp_path / "other.json"
    consil("chainspec", "build", other, "--id", "mine", "--validator", "//Bob")
    assert "follows another chain" in refusal("light", "status", "--chain", other, *common[2:])


def test_no_node_is_one_line(document: Document, refusal: Refusal, common: tuple[object, ...]) -> None:
    document("light", "init", *common)
    assert "no node answers" in refusal("light", "sync", *common, "--rpc", "http://127.0.0.1:1")
    assert "http://HOST:PORT" in refusal("light", "sync", *common, "--rpc", "nowhere")


def test_an_unwritable_directory_is_one_line(refusal: Refusal, spec: Path) -> None:
    assert "choose another --dir" in refusal("light", "init", "--chain", spec, "--dir", spec / "light")
