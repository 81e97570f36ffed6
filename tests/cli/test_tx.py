"""`consil tx` against the real runtime: what is signed here must be valid there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from primitives.extrinsic import CALL_BYTES_MAX
from primitives.session_key import prove_possession
from primitives.signing import SigningKey
from primitives.types import AccountId, Seed
from runtime.constants import TOKEN
from tests.cli.conftest import Consil
from tests.cli.fake_chain import FakeChain
from tests.cli.fake_rpc import serving
from tests.runtime.chain import BOB, CHARLIE, GENESIS_HASH, account

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


def stakes(node: FakeChain) -> list[int]:
    return [seat.stake for seat in node.chain.runtime.query(node.chain.state, "session.upcoming")]


def test_root_runs_a_call_on_its_own_line(node: FakeChain, document: Document) -> None:
    sent = document(
        *("tx", "sudo", "validators.set_stake", "--account", "//Alice", "--stake", "7"),
        *("--from", "//Alice", "--wait", "--rpc", node.url),
    )
    assert [event["event"] for event in sent["events"]][-2:] == ["validators.StakeChanged", "sudo.Sudid"]
    assert stakes(node) == [7]


def test_a_call_stands_in_a_call(node: FakeChain, document: Document, consil: Consil) -> None:
    inner = "sudo.sudo --call 'validators.set_stake --account //Alice --stake 7'"
    sent = document(
        *("tx", "submit", "sudo.sudo", "--call", "validators.set_stake --account //Alice --stake=8"),
        *("--from", "//Alice", "--wait", "--rpc", node.url),
    )
    assert "failure" not in sent
    assert stakes(node) == [8]
    refused = consil(
        *("tx", "submit", "sudo.sudo", "--call", inner, "--from", "//Alice", "--wait", "--rpc", node.url)
    )
    assert "failed (system.BadOrigin" in refused.stderr
    assert stakes(node) == [8]


def test_a_call_in_a_block_is_shown_as_it_is_typed(
    node: FakeChain, document: Document, consil: Consil
) -> None:
    document(
        *("tx", "sudo", "balances.force_transfer", "--source", "//Bob", "--destination", "//Alice"),
        *("--amount", "1.5", "--from", "//Alice", "--wait", "--rpc", node.url),
    )
    shown = consil("query", "block", "2", "--rpc", node.url).stdout
    assert "call=balances.force_transfer --source 5" in shown
    assert "--amount '1.5 CNS'" in shown


def test_what_root_is_refused_is_said_by_name(node: FakeChain, consil: Consil) -> None:
    result = consil(
        *("tx", "sudo", "validators.remove", "--account", "//Alice"),
        *("--from", "//Alice", "--wait", "--rpc", node.url),
    )
    assert result.exit_code == 1
    assert "failed (validators.LastValidator: Nobody else is in the set" in result.stderr


def test_who_is_not_root_pays_nothing(node: FakeChain, refusal: Refusal) -> None:
    line = refusal(
        *("tx", "sudo", "validators.remove", "--account", "//Alice"), *("--from", "//Bob", "--rpc", node.url)
    )
    assert "//Bob is not the sudo account of this chain" in line
    assert free(node, BOB) == 1000 * TOKEN


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ("", "names no call"),
        ("validators.add 'x", "No closing quotation"),
        ("validators.add //Bob", "'//Bob' stands alone"),
        ("validators.add --account", "--account lacks a value"),
        ("validators.add --account //Bob", "lacks arguments"),
        ("validators.none --account //Bob", "no call of validators is named 'none'"),
        ("offences.report --evidence x", "no call of offences is named 'report'"),
    ],
)
def test_a_call_that_is_none_is_one_line(node: FakeChain, refusal: Refusal, inner: str, said: str) -> None:
    line = refusal("tx", "submit", "sudo.sudo", "--call", inner, "--from", "//Alice", "--rpc", node.url)
    assert said in line


def test_a_call_as_argument_is_explained(node: FakeChain, consil: Consil) -> None:
    result = consil("tx", "submit", "sudo.sudo", "--rpc", node.url, "--help")
    assert "a call in quotes, such as 'balances.transfer" in result.stdout
    result = consil("tx", "sudo", "validators.add", "--rpc", node.url, "--help")
    assert "tx sudo validators.add [ARGUMENTS] --from KEY" in result.stdout
    assert "--stake" in result.stdout


def test_a_session_key_is_made_by_the_node_and_registered(node: FakeChain, document: Document) -> None:
    new = SigningKey(Seed(b"\x77" * 32))
    node.methods["author_rotateKeys"] = lambda who: {
        "key": f"0x{new.public_key.hex()}",
        "proof": f"0x{prove_possession(new, GENESIS_HASH, AccountId(bytes.fromhex(who[2:]))).hex()}",
    }
    sent = document("key", "rotate-session", "--from", "//Bob", "--wait", "--rpc", node.url)
    assert "session.KeySet" in [event["event"] for event in sent["events"]]
    assert node.chain.runtime.query(node.chain.state, "session.key_of", account(BOB)) == new.public_key
