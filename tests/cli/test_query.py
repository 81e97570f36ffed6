"""`consil query` against the real runtime."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from primitives.vote import VoteKind
from runtime.constants import TOKEN
from runtime.offences import report_call
from tests.cli.conftest import Consil
from tests.cli.fake_chain import FakeChain
from tests.cli.fake_rpc import serving
from tests.runtime.chain import ALICE as ALICE_KEY
from tests.runtime.chain import BOB, CHARLIE, GENESIS_HASH, account
from tests.runtime.equivocation import double_vote

Document = Callable[..., Any]
Refusal = Callable[..., str]

ALICE = "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"


@pytest.fixture
def node(document: Document) -> Iterator[FakeChain]:
    """A chain with one transfer in block 2."""
    with serving(FakeChain()) as fake:
        assert isinstance(fake, FakeChain)
        document("tx", "transfer", "//Bob", "1", "--from", "//Alice", "--wait", "--rpc", fake.url)
        yield fake


def test_an_account_is_shown_with_units(node: FakeChain, document: Document, consil: Consil) -> None:
    assert document("query", "account", "//Bob", "--rpc", node.url)["free"] == 1001 * TOKEN
    assert "1001 CNS" in consil("query", "account", "//Bob", "--rpc", node.url).stdout


def test_an_account_that_does_not_exist_has_nothing(node: FakeChain, document: Document) -> None:
    assert document("query", "account", "//Nobody", "--rpc", node.url)["free"] == 0


def test_the_price_of_gas_is_shown_as_root_has_set_it(
    node: FakeChain, document: Document, consil: Consil
) -> None:
    assert document("query", "gas", "--rpc", node.url) == {
        "perMillionGas": 100_000,
        "perJob": 10_000_000,
        "perInputByte": 10,
    }
    sudo = ("tx", "sudo", "gas.set_price", "--per_million", "0.002", "--from", "//Alice", "--wait")
    assert "failure" not in document(*sudo, "--rpc", node.url)
    slots = ("gas.set_slot_prices", "--per_job", "0.5", "--per_byte", "0")
    assert "failure" not in document("tx", "sudo", *slots, *sudo[5:], "--rpc", node.url)
    shown = consil("query", "gas", "--rpc", node.url).stdout
    assert "0.002 CNS for a million" in shown
    assert "0.5 CNS for the place of a job" in shown


@pytest.mark.parametrize("block", [["2"], []])
def test_a_block_shows_its_transactions_decoded(
    node: FakeChain, document: Document, block: list[str]
) -> None:
    found = document("query", "block", *block, "--rpc", node.url)
    [extrinsic] = found["extrinsics"]
    assert (extrinsic["call"], extrinsic["signer"]) == ("balances.transfer", ALICE)
    assert extrinsic["arguments"]["amount"] == TOKEN


def test_a_person_reads_a_block(node: FakeChain, consil: Consil) -> None:
    shown = consil("query", "block", "2", "--rpc", node.url).stdout
    assert "extrinsic 0: balances.transfer" in shown
    assert "amount=1 CNS" in shown


@pytest.mark.parametrize("block", ["99", f"0x{'00' * 32}"])
def test_an_unknown_block_is_one_line(node: FakeChain, refusal: Refusal, block: str) -> None:
    assert f"no block {block}" in refusal("query", "block", block, "--rpc", node.url)


def test_events_are_decoded(node: FakeChain, document: Document, consil: Consil) -> None:
    found = document("query", "events", "2", "--rpc", node.url)
    assert "balances.Transferred" in [event["event"] for call in found["calls"] for event in call["events"]]
    assert "call 0: done" in consil("query", "events", "2", "--rpc", node.url).stdout


def test_a_value_an_entry_and_a_whole_map(node: FakeChain, document: Document) -> None:
    value = document("query", "storage", "balances.total_issuance", "--rpc", node.url)
    assert value["stored"] is True
    entry = document("query", "storage", "system.accounts", "//Bob", "--rpc", node.url)
    assert entry["value"]["free"] == 1001 * TOKEN
    entries = document("query", "storage", "system.block_hashes", "--rpc", node.url)
    assert [entry["keys"] for entry in entries] == [[0], [1]]


def test_a_map_is_read_page_by_page(
    node: FakeChain, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.query.PAGE", 1)
    assert len(document("query", "storage", "system.block_hashes", "--rpc", node.url)) == 2


def test_an_absent_entry_is_refused_and_an_unset_value_is_its_default(
    node: FakeChain, document: Document, refusal: Refusal
) -> None:
    assert "has no such entry" in refusal(
        "query", "storage", "system.accounts", "//Nobody", "--rpc", node.url
    )
    absent = document("query", "storage", "system.accounts", "//Nobody", "--rpc", node.url)
    assert (absent["value"], absent["stored"]) == (None, False)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (["system.nothing"], "no storage item of system is named 'nothing'; there are"),
        (["nothing"], "names no storage item; write PALLET.NAME"),
        (["system.accounts", "//A", "//B"], "accounts has 1 keys, not 2"),
        (["system.block_hashes", "x"], "key 1: 'x' does not fit; write an integer from 0"),
        (["system.number", "1"], "number has 0 keys, not 1"),
    ],
)
def test_a_wrong_item_says_what_there_is(
    node: FakeChain, refusal: Refusal, item: list[str], reason: str
) -> None:
    assert reason in refusal("query", "storage", *item, "--rpc", node.url)


def test_metadata_is_shown_whole_or_by_pallet(node: FakeChain, document: Document, consil: Consil) -> None:
    names = [pallet["name"] for pallet in document("query", "metadata", "--rpc", node.url)["pallets"]]
    assert "balances" in names
    assert document("query", "metadata", "balances", "--rpc", node.url)["name"] == "balances"
    shown = consil("query", "metadata", "balances", "--rpc", node.url).stdout
    assert all(part in shown for part in ("calls", "transfer", "InsufficientBalance", "existential_deposit"))
    assert "balances" in consil("query", "metadata", "--rpc", node.url).stdout


def test_an_unknown_pallet_lists_those_there_are(node: FakeChain, refusal: Refusal) -> None:
    assert "there are system" in refusal("query", "metadata", "nothing", "--rpc", node.url)


def test_a_proof_is_shown_with_its_key(node: FakeChain, document: Document) -> None:
    assert document("query", "proof", "system.accounts", "//Bob", "--rpc", node.url)["proof"].startswith("0x")


def test_a_value_that_does_not_fit_its_type_is_no_crash(node: FakeChain, refusal: Refusal) -> None:
    node.methods["state_getStorage"] = lambda *_: "0xc1"
    assert "does not fit" in refusal("query", "storage", "balances.total_issuance", "--rpc", node.url)


def test_validators_are_shown_with_what_the_next_epoch_changes(
    node: FakeChain, document: Document, consil: Consil
) -> None:
    found = document("query", "validators", "--rpc", node.url)
    [alice] = found["acting"]
    assert (found["epoch"], found["first"], found["last"], alice["account"]) == (1, 1, 3, ALICE)
    assert found["upcoming"] == found["acting"]
    assert "stays" in consil("query", "validators", "--rpc", node.url).stdout
    node.methods["state_call"] = lambda name, arguments: (
        [
            alice | {"account": f"0x{account(BOB).hex()}", "stake": 3},
            {"account": f"0x{account(CHARLIE).hex()}", "key": f"0x{'cc' * 32}", "stake": 4},
        ]
        if name == "session.upcoming"
        else [
            {"account": f"0x{account(who).hex()}", "key": alice["key"], "stake": 1}
            for who in (ALICE_KEY, BOB)
        ]
    )
    rows = consil("query", "validators", "--rpc", node.url).stdout.splitlines()[2:]
    leaves, changes, joins = (row.rstrip() for row in rows)
    assert leaves.endswith("leaves")
    assert changes.endswith("stake 3")
    assert joins.endswith("joins")
    assert f"0x{'cc' * 32}" in joins


def test_offences_are_shown_the_newest_first(node: FakeChain, document: Document, consil: Consil) -> None:
    assert "no offences on record" in consil("query", "offences", "--rpc", node.url).stdout
    node.grow(
        inherents=[
            report_call(double_vote(ALICE_KEY, GENESIS_HASH)),
            report_call(double_vote(ALICE_KEY, GENESIS_HASH, VoteKind.FINALIZE)),
        ]
    )
    found = document("query", "offences", "--rpc", node.url)["offences"]
    assert [one["kind"] for one in found] == ["double_finalize", "double_notarize"]
    assert [one["number"] for one in found] == [1, 0]
    assert (found[0]["offender"], found[0]["reported"]) == (ALICE, 3)
    [newest] = document("query", "offences", "--count", "1", "--rpc", node.url)["offences"]
    assert newest == found[0]
    assert "double finalize" in consil("query", "offences", "--rpc", node.url).stdout
