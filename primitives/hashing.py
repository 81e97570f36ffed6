"""The two hash functions of the chain, both from `hashlib`.

BLAKE2b-256 names whatever has an identity; BLAKE2s-256 hashes the state tree only, where inputs are 64 bytes
and it is twice as fast. Source: RFC 7693.
"""

from hashlib import blake2b, blake2s

from primitives.types import Hash


def blake2b_256(data: bytes) -> Hash:
    """The 32-byte BLAKE2b digest of `data`."""
    return Hash(blake2b(data, digest_size=32).digest())


def blake2s_256(data: bytes) -> Hash:
    """The 32-byte BLAKE2s digest of `data`; for value hashes and nodes of the state tree."""
    return Hash(blake2s(data).digest())


def domain(name: str) -> bytes:
    """The prefix that keeps one use of a hash or signature from being taken for another.

    It ends with a zero byte, which no name contains, so that no domain is a prefix of another.
    """
    return b"consilience/" + name.encode("ascii") + b"\x00"
