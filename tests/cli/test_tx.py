"""`consil tx` against the real runtime: what is signed here must be valid there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from primitives.extrinsic import CALL_BYTES_MAX
from runtime.constants import TOKEN
from tests.cli.conftest import Consil
from tests.cli.fake_chain import FakeChain
from tests.cli.fake_rpc import serving
from tests.runtime.chain import BOB, CHARLIE, account

Document = Callable[..., Any]
Refusal = Callable[..., str]


@pytest.fixture
def node() -> Iterator[FakeChain]:
    fake = FakeChain()
    with serving(fake):
        yield fake


def free(node: FakeChain, who: Any) -> int:
    return node.chain.free(account(who))


def test_a_transfer_is_final_with_its_events(node: FakeChain, document: Document) -> None:
    sent = document("tx", "transfer", "//Bob", "1.5", "--from", "//Alice", "--wait", "--rpc", node.url)
    assert free(node, BOB) == 1001 * TOKEN + TOKEN // 2
    assert sent["status"] == "finalized"
    assert sent["height"] == 2
    assert "failure" not in sent
    [transferred] = [event for event in sent["events"] if event["event"] == "balances.Transferred"]
    assert transferred["fields"]["amount"] == TOKEN + TOKEN // 2


def test_a_person_reads_what_happened(node: FakeChain, consil: Consil) -> None:
    result = consil("tx", "transfer", "//Bob", "1.5", "--from", "//Alice", "--wait", "--rpc", node.url)
    assert result.exit_code == 0
    assert "status  finalized" in result.stdout
    assert "amount=1.5 CNS" in result.stdout
    assert result.stderr.splitlines()[0].startswith("sent 0x")


def test_without_wait_the_hash_is_printed_and_status_tells_the_rest(
    node: FakeChain, document: Document
) -> None:
    sent = document("tx", "transfer", "//Bob", "1", "--from", "//Alice", "--rpc", node.url)
    assert sent["status"] == "pending"
    assert document("tx", "status", sent["hash"], "--rpc", node.url)["status"] == "pending"
    assert document("tx", "status", sent["hash"], "--rpc", node.url)["status"] == "finalized"


def test_an_unknown_transaction_is_said_to_be_unknown(node: FakeChain, document: Document) -> None:
    assert document("tx", "status", f"0x{'00' * 32}", "--rpc", node.url)["status"] == "unknown"


def test_any_call_is_built_from_the_metadata(node: FakeChain, document: Document) -> None:
    sent = document(
        *("tx", "submit", "balances.transfer", "--destination", "//Bob", "--amount=2 CNS"),
        *("--from", "//Alice", "--wait", "--rpc", node.url),
    )
    assert sent["status"] == "finalized"
    assert free(node, BOB) == 1002 * TOKEN


def test_the_arguments_of_a_call_are_explained(node: FakeChain, consil: Consil) -> None:
    result = consil("tx", "submit", "balances.transfer", "--rpc", node.url, "--help")
    assert result.exit_code == 0
    assert "--destination  an address, //Alice or a keystore name" in result.stdout
    assert "--amount" in result.stdout


def test_help_without_a_call_is_that_of_the_command(consil: Consil) -> None:
    result = consil("tx", "submit", "--help")
    assert result.exit_code == 0
    assert "Usage: consil tx submit" in result.stdout


def test_a_named_key_signs(node: FakeChain, document: Document, tmp_path: Path) -> None:
    document("key", "import", "boss", "//Alice", "--keystore", tmp_path)
    common = ("--keystore", tmp_path, "--rpc", node.url, "--wait")
    assert document("tx", "transfer", "//Bob", "1", "--from", "boss", *common)["status"] == "finalized"


def test_bytes_are_read_from_a_file(node: FakeChain, document: Document, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"hello")
    run = ("system.remark", "--text", f"@{path}", "--from", "//Alice", "--rpc", node.url)
    assert b"hello".hex() in document("tx", "dry-run", *run)["extrinsic"]


def test_a_dry_run_sends_nothing(node: FakeChain, document: Document) -> None:
    shown = document(
        *("tx", "dry-run", "balances.transfer", "--destination", "//Bob", "--amount", "1"),
        *("--from", "//Alice", "--rpc", node.url),
    )
    assert shown["fee"] > 0
    assert "author_submitExtrinsic" not in [method for method, _ in node.asked]


def test_a_failed_call_is_exit_code_1_with_its_reason(
    node: FakeChain, refusal: Callable[..., str], consil: Consil
) -> None:
    result = consil("tx", "transfer", "//Bob", "5000", "--from", "//Alice", "--wait", "--rpc", node.url)
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: it is final but failed (balances.InsufficientBalance: ")
    assert last.endswith("its fee was charged, nothing else changed")
    assert free(node, BOB) == 1000 * TOKEN


def test_an_account_that_cannot_pay_is_refused(node: FakeChain, refusal: Refusal) -> None:
    assert "CANNOT_PAY" in refusal("tx", "transfer", "//Bob", "1", "--from", "//Charlie", "--rpc", node.url)
    assert free(node, CHARLIE) == 0


def test_a_used_nonce_is_refused(node: FakeChain, document: Document, refusal: Refusal) -> None:
    document("tx", "transfer", "//Bob", "1", "--from", "//Alice", "--wait", "--rpc", node.url)
    run = ("tx", "transfer", "//Bob", "1", "--from", "//Alice", "--nonce", 0, "--rpc", node.url)
    assert "STALE_NONCE" in refusal(*run)


def test_a_node_that_hides_its_chain_gets_a_signature_it_cannot_use(
    node: FakeChain, refusal: Refusal
) -> None:
    node.methods["state_getRuntimeVersion"] = lambda: node.version() | {"genesisHash": f"0x{'11' * 32}"}
    assert "BAD_SIGNATURE" in refusal("tx", "transfer", "//Bob", "1", "--from", "//Alice", "--rpc", node.url)


def test_a_transaction_that_the_node_forgot_is_sent_again(node: FakeChain, document: Document) -> None:
    answers = iter([{"status": "unknown"}])
    node.methods["author_extrinsicStatus"] = lambda identity: next(answers, None) or node.status_of(identity)
    sent = document("tx", "transfer", "//Bob", "1", "--from", "//Alice", "--wait", "--rpc", node.url)
    assert sent["status"] == "finalized"
    assert [method for method, _ in node.asked].count("author_submitExtrinsic") == 2


def test_the_wait_ends_when_the_transaction_expires(node: FakeChain, refusal: Refusal) -> None:
    node.methods["author_extrinsicStatus"] = lambda identity: {"status": "pending"}
    node.methods["chain_getHeader"] = lambda *_: {"height": next(heights)}
    heights = iter([1, 1 + 1024, 2 + 1024])
    run = ("tx", "transfer", "//Bob", "1", "--from", "//Alice", "--wait", "--rpc", node.url)
    assert "expired: no block up to 1025 took it; send it again" in refusal(*run)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["balances.transfer", "--destination", "//Bob"], "lacks arguments; add --amount (an amount"),
        (["balances.transfer", "--to", "//Bob"], "has no argument --to; it takes --destination, --amount"),
        (["balances.transfer", "--destination", "x", "--amount", "1"], "--destination: no account 'x'"),
        (["balances.transfer", "--destination", "//Bob", "--amount", "x"], "--amount: 'x' is not an amount"),
        (["balances.transfer_all", "--destination", "//Bob", "--keep-alive", "maybe"], "write true or false"),
        (["balances.nothing"], "no call of balances is named 'nothing'; there are "),
        (["nothing.transfer"], "no pallet is named 'nothing'"),
        (["transfer"], "write PALLET.NAME"),
        (["system.remark", "--text", "hello"], "--text: 'hello' does not fit; write 0x"),
        (["system.remark", "--text", "@/no/such/file"], "cannot read /no/such/file"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    node: FakeChain, refusal: Refusal, arguments: list[str], reason: str
) -> None:
    assert reason in refusal("tx", "submit", "--from", "//Alice", "--rpc", node.url, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["balances.transfer", "--amount"],
        ["balances.transfer", "stray"],
        ["system.remark", "--text", "0x00", "--text", "0x01"],
        ["--amount", "1"],
        ["system.remark", "--text", "0x00", "--from="],
        [],
    ],
)
def test_a_call_that_cannot_be_read_is_wrong_usage(
    refusal: Refusal, node: FakeChain, arguments: list[str]
) -> None:
    refusal("tx", "submit", "--from", "//Alice", "--rpc", node.url, *arguments, code=2)


def test_an_oversized_argument_is_refused_before_it_is_sent(
    node: FakeChain, refusal: Refusal, tmp_path: Path
) -> None:
    for size in (CALL_BYTES_MAX, 2 * 1024 * 1024):
        path = tmp_path / str(size)
        path.write_bytes(bytes(size))
        run = ("system.remark", "--text", f"@{path}", "--from", "//Alice", "--rpc", node.url)
        assert "--text" in refusal("tx", "submit", *run)
    assert "author_submitExtrinsic" not in [method for method, _ in node.asked]


def test_without_a_node_the_line_says_how_to_start_one(refusal: Refusal) -> None:
    line = refusal("tx", "transfer", "//Bob", "1", "--from", "//Alice", "--rpc", "http://127.0.0.1:1")
    assert "no node answers at http://127.0.0.1:1" in line
    assert "consil node run --dev" in line


def test_a_wrong_address_of_a_node_is_refused(refusal: Refusal) -> None:
    assert "write http://HOST:PORT" in refusal("tx", "status", "0x00", "--rpc", "localhost:9944")
