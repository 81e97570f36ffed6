"""`consil light offences`: what is on record is proved, and judged again."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cli.offences import state_key
from primitives.offence import OFFENCE_RECORD, OffenceRecord
from primitives.types import AccountId, BlockHash, Signature, Stake
from primitives.vote import VoteKind
from runtime.offences import report_call
from tests.cli.conftest import Consil
from tests.cli.fake_rpc import serving
from tests.cli.proving_node import ProvingNode, forge_absence, forge_value
from tests.runtime.chain import ALICE, GENESIS_HASH, Chain
from tests.runtime.equivocation import double_vote

Document = Callable[..., Any]
Refusal = Callable[..., str]

RECORD = state_key("offences.records", 1)


@pytest.fixture
def spec(consil: Consil, tmp_path: Path) -> Path:
    file = tmp_path / "chain.json"
    assert consil("chainspec", "build", file, "--id", "mine", "--validator", "//Alice").exit_code == 0
    return file


@pytest.fixture
def node(spec: Path) -> Iterator[ProvingNode]:
    """A chain on which Alice was reported twice."""
    chain, made = Chain(), ProvingNode(spec)
    chain.grow()
    kinds = (VoteKind.NOTARIZE, VoteKind.FINALIZE)
    chain.grow(inherents=[report_call(double_vote(ALICE, GENESIS_HASH, kind)) for kind in kinds])
    made.show(dict(chain.state.entries))
    with serving(made):
        yield made


@pytest.fixture
def common(node: ProvingNode, document: Document, spec: Path, tmp_path: Path) -> tuple[object, ...]:
    followed = ("--chain", spec, "--dir", tmp_path / "light")
    document("light", "init", *followed)
    return (*followed, "--rpc", node.url)


def test_offences_are_proved(document: Document, consil: Consil, common: tuple[object, ...]) -> None:
    found = document("light", "offences", *common)
    assert [(one["number"], one["kind"]) for one in found["offences"]] == [
        (1, "double_finalize"),
        (0, "double_notarize"),
    ]
    assert found["height"] == 1
    assert len(document("light", "offences", "--count", 1, *common)["offences"]) == 1
    shown = consil("light", "offences", *common).stdout
    assert "double finalize" in shown
    assert "proved in final block 1" in shown


def test_a_chain_without_offences_proves_that(
    document: Document, consil: Consil, node: ProvingNode, common: tuple[object, ...]
) -> None:
    node.show({b"key": b"value"})
    assert document("light", "offences", *common)["offences"] == []
    assert "no offences on record" in consil("light", "offences", *common).stdout


@pytest.mark.parametrize("forge", [forge_value, forge_absence])
def test_a_node_that_lies_is_caught(
    refusal: Refusal, node: ProvingNode, common: tuple[object, ...], forge: Callable[..., Any]
) -> None:
    node.lie = forge
    assert "wrong proof" in refusal("light", "offences", *common)


def alter(node: ProvingNode, change: Callable[[OffenceRecord], OffenceRecord]) -> None:
    """Have the state itself say something else, as only a dishonest committee can."""
    record = OFFENCE_RECORD.decode(node.state[RECORD])
    node.show({**node.state, RECORD: OFFENCE_RECORD.encode(change(record))})


def forge_vote(record: OffenceRecord) -> OffenceRecord:
    forged = replace(record.evidence.second, signature=Signature(bytes(64)))
    return replace(record, evidence=replace(record.evidence, second=forged))


def test_votes_that_nobody_signed_convict_nobody(
    refusal: Refusal, node: ProvingNode, common: tuple[object, ...]
) -> None:
    alter(node, forge_vote)
    assert "offence 1 is on record, but convicts nobody" in refusal("light", "offences", *common)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: replace(record, offender=AccountId(bytes(32))),
        lambda record: replace(record, stake=Stake(9)),
    ],
)
def test_a_record_agrees_with_the_committee_of_its_epoch(
    refusal: Refusal, node: ProvingNode, common: tuple[object, ...], change: Callable[..., OffenceRecord]
) -> None:
    alter(node, change)
    assert "offence 1 names no member of the committee" in refusal("light", "offences", *common)


def test_votes_of_another_fork_convict_nobody_here(
    refusal: Refusal, node: ProvingNode, common: tuple[object, ...]
) -> None:
    alter(node, lambda record: replace(record, anchor=BlockHash(bytes(32))))
    assert "convicts nobody" in refusal("light", "offences", *common)


def test_a_record_outlives_the_memory_of_its_committee(
    document: Document, node: ProvingNode, common: tuple[object, ...]
) -> None:
    history = state_key("session.history", 1)
    node.show({key: value for key, value in node.state.items() if key != history})
    assert len(document("light", "offences", *common)["offences"]) == 2


def test_a_state_of_another_release_is_one_line(
    refusal: Refusal, node: ProvingNode, common: tuple[object, ...]
) -> None:
    node.show({**node.state, RECORD: b"\x90"})
    assert "upgrade consil" in refusal("light", "offences", *common)
