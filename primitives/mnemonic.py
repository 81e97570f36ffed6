"""Secret keys from words and paths, the same as `subkey` gives for Ed25519.

A secret URI is `PHRASE//hard//path///password`; the phrase may be left out for the well-known development
phrase (`//Alice`). Ed25519 has hard junctions only. Sources: BIP-39 for words and checksum; Substrate for the
derivation: the seed is stretched from the entropy rather than from the text, and a junction is
BLAKE2b-256("Ed25519HDKD", seed, chain code).
"""

from hashlib import blake2b, pbkdf2_hmac
from typing import Final

from mnemonic import Mnemonic

from primitives.hashing import blake2b_256
from primitives.types import U63_MAX, Seed

DEVELOPMENT_PHRASE: Final = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
"""Known to everybody: for development chains only."""

SECRET_URI_MAX: Final = 1024
"""Longest secret URI that is looked at, in characters."""

_WORDS: Final = Mnemonic("english")
_STRETCH_ROUNDS: Final = 2048


def phrase_from_entropy(entropy: bytes) -> str:
    """The words of `entropy` (16, 20, 24, 28 or 32 bytes). Raises ValueError for another length."""
    return str(_WORDS.to_mnemonic(entropy))


def seed_from_phrase(phrase: str, password: str = "") -> Seed:
    """The seed of `phrase`. Raises ValueError for an unknown word or a wrong checksum."""
    words = " ".join(phrase.split())
    if not _WORDS.check(words):
        raise ValueError("not a BIP-39 phrase: a word is unknown or the checksum is wrong")
    entropy = bytes(_WORDS.to_entropy(words))
    salt = b"mnemonic" + password.encode()
    return Seed(pbkdf2_hmac("sha512", entropy, salt, _STRETCH_ROUNDS)[:32])


def seed_from_uri(uri: str) -> Seed:
    """The seed of a secret URI: phrase or `0x` seed, hard junctions, password.

    Raises ValueError, saying which part is wrong; never with the secret in the message.
    """
    if len(uri) > SECRET_URI_MAX:
        raise ValueError("secret URI is too long")
    head, _, password = uri.partition("///")
    secret, *junctions = head.split("//")
    if any("/" in part for part in [secret, *junctions]):
        raise ValueError("Ed25519 has no soft junctions: write //name, not /name")
    seed = _root_seed(secret.strip(), password)
    for junction in junctions:
        if not junction:
            raise ValueError("empty junction in the path")
        seed = _derive(seed, junction)
    return seed


def _root_seed(secret: str, password: str) -> Seed:
    if secret.startswith("0x"):
        try:
            seed = bytes.fromhex(secret[2:])
        except ValueError:
            seed = b""
        if len(seed) != 32:
            raise ValueError("a hexadecimal seed has 64 digits")
        if password:
            raise ValueError("a hexadecimal seed takes no password")
        return Seed(seed)
    return seed_from_phrase(secret or DEVELOPMENT_PHRASE, password)


def _derive(seed: Seed, junction: str) -> Seed:
    return Seed(blake2b_256(_scale_string(b"Ed25519HDKD") + seed + _chain_code(junction)))


def _chain_code(junction: str) -> bytes:
    """32 bytes: a number as 8 bytes little-endian, else a SCALE string; hashed if too long, else padded."""
    if junction.isascii() and junction.isdigit() and int(junction) <= 2 * U63_MAX + 1:
        code = int(junction).to_bytes(8, "little")
    else:
        code = _scale_string(junction.encode())
    return blake2b(code, digest_size=32).digest() if len(code) > 32 else code.ljust(32, b"\x00")


def _scale_string(text: bytes) -> bytes:
    """SCALE: a compact length of one, two or four bytes, then the text."""
    size = len(text)
    if size < 1 << 6:
        return bytes([size << 2]) + text
    if size < 1 << 14:
        return (size << 2 | 1).to_bytes(2, "little") + text
    return (size << 2 | 2).to_bytes(4, "little") + text
