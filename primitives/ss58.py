"""SS58: the text form of an account, with a checksum and the network's prefix.

Source: Substrate SS58 registry and format; only one-byte prefixes (0..63) and 32-byte accounts are used here.
"""

from hashlib import blake2b
from typing import Final

import base58

from primitives.types import AccountId

DEFAULT_PREFIX: Final = 42
"""The prefix of chains without a registered one."""

_CHECKSUM_BYTES: Final = 2
_ADDRESS_BYTES: Final = 1 + 32 + _CHECKSUM_BYTES
_TEXT_MAX: Final = 64
"""Longer texts are refused before the quadratic base-58 arithmetic."""


def encode_address(account: AccountId, prefix: int = DEFAULT_PREFIX) -> str:
    """The address of `account` on the network with `prefix` (0..63)."""
    assert 0 <= prefix < 64
    payload = bytes([prefix]) + account
    return base58.b58encode(payload + _checksum(payload)).decode("ascii")


def decode_address(text: str, prefix: int = DEFAULT_PREFIX) -> AccountId:
    """The account that `text` names. Raises ValueError, saying which part is wrong."""
    if len(text) > _TEXT_MAX:
        raise ValueError("address is too long")
    try:
        data = base58.b58decode(text)
    except ValueError:
        raise ValueError(f"'{text}' is not base 58") from None
    if len(data) != _ADDRESS_BYTES:
        raise ValueError(f"'{text}' is {len(data)} bytes; an address has {_ADDRESS_BYTES}")
    payload, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if checksum != _checksum(payload):
        raise ValueError(f"the checksum of '{text}' is wrong: it was mistyped")
    if payload[0] != prefix:
        raise ValueError(f"'{text}' belongs to the network with prefix {payload[0]}, not {prefix}")
    return AccountId(payload[1:])


def _checksum(payload: bytes) -> bytes:
    return blake2b(b"SS58PRE" + payload).digest()[:_CHECKSUM_BYTES]
