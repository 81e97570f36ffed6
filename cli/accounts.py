"""Accounts and keys as people write them."""

import sys
from pathlib import Path

from cli.errors import UserError
from frame.validators import Validator
from node.keystore.store import Keystore, KeystoreError
from primitives.mnemonic import seed_from_uri
from primitives.signing import SigningKey
from primitives.ss58 import DEFAULT_PREFIX, decode_address
from primitives.types import AccountId, PublicKey, Seed, Stake


def open_keystore(directory: Path) -> Keystore:
    """The user's keystore; `~` is the home directory."""
    return Keystore(directory.expanduser())


def account_of(text: str, keystore: Keystore, prefix: int = DEFAULT_PREFIX) -> AccountId:
    """The account of an address, `//Alice`, `0x` public key or keystore name. Raises UserError."""
    if text.startswith("//"):
        return AccountId(SigningKey(_seed_of_uri(text)).public_key)
    if text.startswith("0x"):
        return AccountId(bytes_of_hex(text, 32, "an account"))
    try:
        return decode_address(text, prefix)
    except ValueError as error:
        if text in keystore.names():
            return AccountId(signing_key(text, keystore).public_key)
        raise UserError(
            f"no account '{text}': {error}, and {keystore.directory} has no key of that name",
            "give an address, //Alice or a name that `consil key list` shows",
        ) from None


def validator_of(text: str, store: Keystore) -> Validator:
    """From `ACCOUNT` or `ACCOUNT=KEY`. Raises UserError."""
    who, _, key = text.partition("=")
    account = account_of(who, store)
    session_key = bytes_of_hex(key, 32, "a session key") if key else bytes(account)
    return Validator(account, PublicKey(session_key), Stake(1))


def signing_key(text: str, keystore: Keystore) -> SigningKey:
    """The key of `//Alice` or of a keystore name. Raises UserError."""
    if text.startswith("//"):
        return SigningKey(_seed_of_uri(text))
    try:
        return SigningKey(keystore.seed_of(text))
    except KeystoreError as error:
        raise UserError(str(error), "give //Alice or a name that `consil key list` shows") from None


def seed_of_secret(text: str) -> Seed:
    """The seed of a secret URI; `-` reads it from standard input, unseen on a terminal. Raises UserError."""
    if text == "-":
        import getpass

        text = getpass.getpass("secret phrase or URI: ") if sys.stdin.isatty() else sys.stdin.readline(4096)
    return _seed_of_uri(text.strip())


def bytes_of_hex(text: str, size: int | None, what: str) -> bytes:
    """The bytes of `0x...`. Raises UserError unless there are `size` of them (any number for None)."""
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        data = None
    if data is None or not text.startswith("0x") or size not in (None, len(data)):
        digits = "digits in pairs" if size is None else f"{2 * size} digits"
        raise UserError(f"'{text[:80]}' is not {what}", f"write 0x and hexadecimal {digits}")
    return data


def _seed_of_uri(uri: str) -> Seed:
    try:
        return seed_from_uri(uri)
    except ValueError as error:
        raise UserError(f"not a secret: {error}", "see `consil key inspect --help`") from None
