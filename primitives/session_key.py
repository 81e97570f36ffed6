"""Proof that whoever registers a session key for an account holds the key.

Without it, somebody could register the key of another validator, and be taken for it.
"""

from typing import Final

from primitives.certificate import Verifier
from primitives.hashing import domain
from primitives.signing import SigningKey, verify
from primitives.types import AccountId, BlockHash, PublicKey, Signature

_DOMAIN: Final = domain("session-key/1")


def prove_possession(key: SigningKey, genesis: BlockHash, account: AccountId) -> Signature:
    """What `account` registers `key` with, on the chain with this genesis block."""
    return key.sign(_message(genesis, account))


def verify_possession(
    key: PublicKey, genesis: BlockHash, account: AccountId, proof: Signature, verifier: Verifier = verify
) -> bool:
    """Whether the holder of `key` wants it to be the session key of `account` on this chain."""
    return verifier(key, _message(genesis, account), proof)


def _message(genesis: BlockHash, account: AccountId) -> bytes:
    """Bound to chain and account, so that nobody else can use the proof; every part has a fixed length."""
    return _DOMAIN + genesis + account
