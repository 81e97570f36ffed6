"""Session keys of the simulation: fast stand-ins, or real Ed25519."""

from hashlib import blake2b

from node.consensus.interface import Key
from primitives.certificate import Verifier
from primitives.signing import SigningKey, verify
from primitives.types import PublicKey, Seed, Signature


class FastKey:
    """A keyed hash in place of a signature: nobody in the simulation knows another's secret."""

    def __init__(self, seed: Seed) -> None:
        self._secret = bytes(seed)
        self.public_key = PublicKey(blake2b(self._secret, digest_size=32).digest())

    def sign(self, message: bytes) -> Signature:
        """The only accepted signature of `message`."""
        return Signature(blake2b(message, key=self._secret, digest_size=64).digest())


SimulatedKey = Key
"""Either of them, or a mutant's."""


def make_keys(count: int, *, are_real: bool) -> tuple[list[SimulatedKey], Verifier]:
    """`count` different keys, and what verifies their signatures."""
    seeds = [Seed(blake2b(number.to_bytes(8, "big"), digest_size=32).digest()) for number in range(count)]
    if are_real:
        return [SigningKey(seed) for seed in seeds], verify
    keys = [FastKey(seed) for seed in seeds]
    by_name = {bytes(key.public_key): key for key in keys}

    def verify_fast(public_key: bytes, message: bytes, signature: bytes) -> bool:
        key = by_name.get(public_key)
        return key is not None and key.sign(message) == signature

    return [*keys], verify_fast
