"""Ed25519 signatures by libsodium: cofactorless verification, small-order points refused.

Libraries disagree on malformed signatures, so libsodium's verdicts are part of the rules of the chain
(`primitives.signing_verdicts`). There is no batch verification: it gives other verdicts. Source: RFC 8032.
"""

from nacl.bindings import (
    crypto_sign,
    crypto_sign_BYTES,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from primitives.types import PublicKey, Seed, Signature


class SigningKey:
    """A secret key that can sign; its seed does not show in `repr`."""

    def __init__(self, seed: Seed) -> None:
        """`seed`: 32 bytes."""
        public_key, self._secret_key = crypto_sign_seed_keypair(seed)
        self.public_key = PublicKey(public_key)
        """What others verify against."""

    def sign(self, message: bytes) -> Signature:
        """The deterministic signature of `message`."""
        return Signature(crypto_sign(message, self._secret_key)[:crypto_sign_BYTES])


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) is libsodium-valid for `message` under `public_key` (32 bytes)."""
    try:
        crypto_sign_open(signature + message, public_key)
    except (BadSignatureError, ValueError):
        return False
    return True
