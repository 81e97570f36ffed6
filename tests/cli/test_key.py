"""`consil key`."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.key import MESSAGE_DOMAIN
from node.identity import journal_path
from node.keystore.store import Keystore
from node.network.identity import peer_id_of
from primitives.mnemonic import seed_from_phrase, seed_from_uri
from primitives.signing import SigningKey, verify
from tests.cli.conftest import Consil

ALICE = "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"

Document = Callable[..., Any]
Refusal = Callable[..., str]


def test_generate_shows_a_phrase_that_gives_the_address(document: Document, tmp_path: Path) -> None:
    made = document("key", "generate", "--words", 24, "--keystore", tmp_path)
    assert len(made["phrase"].split()) == 24
    assert made["publicKey"] == f"0x{SigningKey(seed_from_phrase(made['phrase'])).public_key.hex()}"
    assert list(tmp_path.iterdir()) == []


def test_generate_never_gives_the_same_key_twice(document: Document) -> None:
    assert document("key", "generate")["phrase"] != document("key", "generate")["phrase"]


def test_a_named_key_is_kept_for_its_owner_only(document: Document, tmp_path: Path) -> None:
    made = document("key", "generate", "--name", "anna", "--keystore", tmp_path)
    assert stat.S_IMODE(Path(made["file"]).stat().st_mode) == 0o600
    listed = document("key", "list", "--keystore", tmp_path)
    assert listed == [{"name": "anna", "address": made["address"], "publicKey": made["publicKey"]}]


def test_a_taken_name_is_refused_and_its_key_stays(
    document: Document, refusal: Refusal, tmp_path: Path
) -> None:
    document("key", "import", "anna", "//Alice", "--keystore", tmp_path)
    assert "there is a key named 'anna'" in refusal(
        "key", "generate", "--name", "anna", "--keystore", tmp_path
    )
    assert document("key", "list", "--keystore", tmp_path)[0]["address"] == ALICE


def test_a_phrase_of_13_words_is_wrong_usage(refusal: Refusal) -> None:
    assert "12, 15, 18, 21 or 24" in refusal("key", "generate", "--words", 13, code=2)


@pytest.mark.parametrize(
    "text", ["//Alice", ALICE, f"0x{SigningKey(seed_from_uri('//Alice')).public_key.hex()}"]
)
def test_inspect_knows_an_account_however_it_is_written(
    document: Document, text: str, tmp_path: Path
) -> None:
    assert document("key", "inspect", text, "--keystore", tmp_path)["address"] == ALICE


def test_inspect_reads_a_phrase_from_standard_input(document: Document) -> None:
    assert document("key", "inspect", "-", stdin="//Alice\n")["address"] == ALICE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpv", "checksum"),
        ("nobody", "no account 'nobody'"),
        ("0x1234", "write 0x and hexadecimal 64 digits"),
        ("//Alice/soft", "no soft junctions"),
        ("one two three", "not a BIP-39 phrase"),
    ],
)
def test_inspect_says_what_is_wrong_with_a_key(
    refusal: Refusal, text: str, reason: str, tmp_path: Path
) -> None:
    assert reason in refusal("key", "inspect", text, "--keystore", tmp_path)


def test_a_signature_is_verified_and_is_no_transaction(document: Document) -> None:
    signed = document("key", "sign", "hello", "--key", "//Alice")
    signature = bytes.fromhex(signed["signature"][2:])
    alice = SigningKey(seed_from_uri("//Alice")).public_key
    assert verify(alice, MESSAGE_DOMAIN + b"hello", signature)
    assert not verify(alice, b"hello", signature)
    assert document("key", "verify", "hello", signed["signature"], "--key", ALICE)["valid"] is True


def test_hexadecimal_messages_are_the_bytes_that_they_spell(document: Document) -> None:
    spelled = document("key", "sign", "0x6869", "--hex", "--key", "//Alice")
    assert spelled == document("key", "sign", "hi", "--key", "//Alice")


@pytest.mark.parametrize(("message", "who"), [("hullo", "//Alice"), ("hello", "//Bob")])
def test_a_wrong_signature_is_exit_code_1(
    document: Document, refusal: Refusal, message: str, who: str
) -> None:
    signature = document("key", "sign", "hello", "--key", "//Alice")["signature"]
    assert "the signature is not by" in refusal("key", "verify", message, signature, "--key", who)


def test_a_signature_of_wrong_length_is_refused(refusal: Refusal) -> None:
    assert "128 digits" in refusal("key", "verify", "hello", "0x00", "--key", "//Alice")


def test_signing_with_an_address_names_what_would_do(refusal: Refusal, tmp_path: Path) -> None:
    line = refusal("key", "sign", "hello", "--key", ALICE, "--keystore", tmp_path)
    assert "no key named" in line
    assert "consil key list" in line


def test_import_then_export_gives_the_seed_after_a_question(
    consil: Consil, document: Document, tmp_path: Path
) -> None:
    document("key", "import", "anna", "-", "--keystore", tmp_path, stdin="//Anna\n")
    shown = consil("key", "export", "anna", "--keystore", tmp_path, stdin="y\n")
    assert shown.stdout.splitlines()[-1] == f"0x{seed_from_uri('//Anna').hex()}"


def test_export_without_a_yes_shows_nothing(consil: Consil, document: Document, tmp_path: Path) -> None:
    document("key", "import", "anna", "//Anna", "--keystore", tmp_path)
    declined = consil("key", "export", "anna", "--keystore", tmp_path, stdin="n\n")
    assert declined.exit_code == 1
    assert seed_from_uri("//Anna").hex() not in declined.output


def test_a_key_file_that_others_can_read_is_refused(
    document: Document, refusal: Refusal, tmp_path: Path
) -> None:
    path = Path(document("key", "import", "anna", "//Anna", "--keystore", tmp_path)["file"])
    path.chmod(0o644)
    assert "chmod 600" in refusal("key", "sign", "hello", "--key", "anna", "--keystore", tmp_path)


def test_a_node_key_is_made_once(document: Document, tmp_path: Path) -> None:
    made = document("key", "node-key", tmp_path)
    assert made["peerId"] == peer_id_of(Keystore(tmp_path).seed_of("node"))
    assert document("key", "node-key", tmp_path) == made


def test_a_session_key_is_made_once_with_its_vote_journal(document: Document, tmp_path: Path) -> None:
    made = document("key", "session-key", tmp_path)
    key = SigningKey(Keystore(tmp_path).seed_of("session")).public_key
    assert made["sessionKey"] == f"0x{key.hex()}"
    journal = journal_path(tmp_path, key)
    before = journal.read_bytes()
    assert document("key", "session-key", tmp_path) == made
    assert journal.read_bytes() == before


def test_an_unwritable_directory_is_one_line(refusal: Refusal, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    assert "cannot write" in refusal("key", "generate", "--name", "anna", "--keystore", blocker / "keys")
    assert "cannot write" in refusal("key", "node-key", blocker / "keys")
    assert "cannot write" in refusal("key", "session-key", blocker / "keys")
