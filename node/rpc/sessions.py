"""The methods about the session and sealing keys of a validator.

The RPC listens on loopback only: whoever can reach it owns the node.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import trio

from frame.sealing import SealingKey
from node.consensus.journal import JournalError
from node.keystore.store import KeystoreError
from node.rpc.dispatch import Method
from node.rpc.errors import unavailable
from node.rpc.methods import HashText
from primitives.session_key import prove_possession
from primitives.signing import SigningKey
from primitives.types import AccountId, BlockHash, PublicKey, Seed


class Keys(Protocol):
    """The session keys of this node."""

    @property
    def seeds(self) -> Mapping[PublicKey, Seed]: ...

    def rotate(self) -> SigningKey:
        """Make another one. Raises KeystoreError, JournalError."""
        ...


class Seals(Protocol):
    """The sealing keys of this node."""

    @property
    def newest(self) -> SealingKey: ...

    def rotate(self) -> SealingKey:
        """Make another one. Raises KeystoreError."""
        ...


class SessionMethods:
    """Every method by its name, in `table`."""

    def __init__(self, keys: Keys, seals: Seals, genesis: BlockHash) -> None:
        """`genesis` is what proofs of possession are bound to."""
        self._keys = keys
        self._seals = seals
        self._genesis = genesis
        self._rotating = trio.CapacityLimiter(1)

    def table(self) -> dict[str, Method]:
        """Name to method."""
        return {
            "author_rotateKeys": self.rotate,
            "author_hasSessionKeys": self.has,
            "author_sealingKey": self.sealing_key,
            "author_rotateSealingKey": self.rotate_sealing,
        }

    async def sealing_key(self) -> str:
        """The newest key that private inputs for this node can be sealed to, once it is registered."""
        return f"0x{self._seals.newest.hex()}"

    async def rotate_sealing(self) -> str:
        """Make another sealing key; what was sealed to the older ones can be opened as before."""
        try:
            key = await trio.to_thread.run_sync(self._seals.rotate, limiter=self._rotating)
        except KeystoreError as error:
            raise unavailable("NoNewKey", str(error)) from None
        return f"0x{key.hex()}"

    async def rotate(self, account: HashText) -> dict[str, Any]:
        """Make another session key; with it, what `account` registers it with by `session.set_key`.

        The node votes with it once it is in the committee of an epoch, and with the old one until then.
        """
        who = AccountId(bytes.fromhex(account[2:]))
        try:
            key = await trio.to_thread.run_sync(self._keys.rotate, limiter=self._rotating)
        except (KeystoreError, JournalError) as error:
            raise unavailable("NoNewKey", str(error)) from None
        proof = prove_possession(key, self._genesis, who)
        return {"key": f"0x{key.public_key.hex()}", "proof": f"0x{proof.hex()}"}

    async def has(self, key: HashText) -> bool:
        """Whether this node can vote with a session key."""
        return PublicKey(bytes.fromhex(key[2:])) in self._keys.seeds
