"""Memory of valid signatures, shared by pool, author and block execution: each is verified once per node."""

from collections import OrderedDict
from threading import Lock
from typing import Final

from primitives.certificate import Verifier
from primitives.hashing import blake2b_256
from primitives.signing import verify
from primitives.types import Hash

ENTRIES_MAX: Final = 64 * 1024
"""Signatures remembered, about 10 MB: more than the pool holds, and the blocks of some minutes."""


class Verdicts:
    """A `Verifier` with a memory; safe to call from several threads.

    The key is H(message || public key || signature), of which the last two have a fixed length: a verdict
    holds for the very bytes that were signed, hence for one chain, fork and spec version. Invalid signatures
    are not remembered, or a flood of them would push out the valid ones.
    """

    def __init__(self, verifier: Verifier = verify, entries_max: int = ENTRIES_MAX) -> None:
        self._verifier = verifier
        self._entries_max = entries_max
        self._valid: OrderedDict[Hash, None] = OrderedDict()
        self._lock = Lock()
        self.remembered = 0
        """Calls answered from memory."""

        self.verified = 0
        """Calls that cost a verification."""

    def __call__(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) of `message` under `public_key` (32 bytes) is valid."""
        if len(public_key) != 32 or len(signature) != 64:
            return False
        key = blake2b_256(message + public_key + signature)
        with self._lock:
            if key in self._valid:
                self._valid.move_to_end(key)
                self.remembered += 1
                return True
            self.verified += 1
        valid = self._verifier(public_key, message, signature)
        if valid:
            self._remember(key)
        return valid

    def _remember(self, key: Hash) -> None:
        with self._lock:
            self._valid[key] = None
            if len(self._valid) > self._entries_max:
                self._valid.popitem(last=False)
