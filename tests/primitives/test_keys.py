import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.mnemonic import (
    DEVELOPMENT_PHRASE,
    phrase_from_entropy,
    seed_from_phrase,
    seed_from_uri,
)
from primitives.signing import SigningKey, verify
from primitives.signing_verdicts import EDGE_CASES, EdgeCase, disagreements
from primitives.ss58 import decode_address, encode_address
from primitives.types import AccountId, Seed

ALICE = SigningKey(seed_from_uri("//Alice"))


@pytest.mark.parametrize("case", EDGE_CASES, ids=lambda case: case.what)
def test_the_library_gives_the_verdicts_of_libsodium(case: EdgeCase) -> None:
    assert verify(case.public_key, case.message, case.signature) == case.valid


def test_a_library_with_other_verdicts_is_found_out() -> None:
    assert disagreements(verify) == ()
    assert len(disagreements(lambda *_: True)) == len(EDGE_CASES) - 1


def test_rfc_8032_test_1() -> None:
    key = SigningKey(Seed(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")))
    assert key.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )


@given(st.binary(max_size=50))
def test_only_the_signed_message_verifies(message: bytes) -> None:
    signature = ALICE.sign(message)
    assert verify(ALICE.public_key, message, signature)
    assert not verify(ALICE.public_key, message + b"x", signature)
    assert not verify(ALICE.public_key[1:], message, signature)
    assert not verify(ALICE.public_key, message, signature[1:])


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("//Alice", "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"),
        ("//Bob", "5GoNkf6WdbxCFnPdAnYYQyCjAKPJgLNxXwPjwTh6DGg6gN3E"),
        ("//Charlie", "5DbKjhNLpqX3zqZdNBc9BGb4fHU1cRBaDhJUskrvkwfraDi6"),
    ],
)
def test_development_accounts_are_those_of_subkey(uri: str, address: str) -> None:
    account = AccountId(SigningKey(seed_from_uri(uri)).public_key)
    assert encode_address(account) == address
    assert decode_address(address) == account


def test_every_part_of_a_secret_uri_matters() -> None:
    phrase = DEVELOPMENT_PHRASE
    uris = [
        phrase,
        f"{phrase}//1",
        f"{phrase}//01x",
        f"{phrase}//1//2",
        f"{phrase}///pw",
        f"{phrase}//1///pw",
    ]
    assert len({seed_from_uri(uri) for uri in uris}) == len(uris)
    assert seed_from_uri(f"{phrase}//Alice") == seed_from_uri("//Alice")
    assert seed_from_uri("0x" + "07" * 32) == bytes([7]) * 32


@pytest.mark.parametrize(
    "uri",
    [
        "/soft",
        "//",
        "hello world//x",
        "0x1234",
        "0x" + "07" * 32 + "///pw",
        "//" + "a" * 2000,
        "//a/b",
    ],
)
def test_a_wrong_secret_uri_is_refused_without_being_repeated(uri: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refusal:
        seed_from_uri(uri)
    assert uri not in str(refusal.value) or uri in ("//", "/soft")


def test_a_phrase_is_its_entropy_and_a_checksum() -> None:
    phrase = phrase_from_entropy(bytes(16))
    assert phrase == "abandon " * 11 + "about"
    assert seed_from_phrase(f"  {phrase} ") == seed_from_phrase(phrase)
    with pytest.raises(ValueError, match="checksum"):
        seed_from_phrase("abandon " * 12)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpv", "mistyped"),
        ("0OIl", "not base 58"),
        ("5FA9", "bytes"),
        ("1" * 100, "too long"),
        (encode_address(AccountId(bytes(32)), prefix=0), "network with prefix 0"),
    ],
)
def test_a_wrong_address_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_address(text)
