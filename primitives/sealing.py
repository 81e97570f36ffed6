"""Private inputs, as far as a chain sees them: what a request fixes, and for whom it was sealed."""

from collections.abc import Sequence
from typing import Final

from primitives.hashing import blake2b_256, domain
from primitives.types import AccountId, Bytes32, Hash

_INPUT_DOMAIN: Final = domain("private-input/1")
_PURPOSE_DOMAIN: Final = domain("private-purpose/1")
_PANEL_DOMAIN: Final = domain("sealing-panel/1")


def purpose_of(requester: AccountId, model: Hash, is_output_sealed: bool) -> Hash:
    """What a private input may be used for: one account's requests to one model, answered in one way."""
    return blake2b_256(_PURPOSE_DOMAIN + requester + model + bytes([is_output_sealed]))


def input_commitment(purpose: Hash, salt: Bytes32, plaintext: bytes) -> Hash:
    """What a private request fixes: it binds the input, and the salt keeps a short one from being guessed.

    It binds the purpose too. Else somebody else, who can read neither, could have what is sealed run by a
    model that gives back its input, in public.
    """
    return blake2b_256(_INPUT_DOMAIN + purpose + salt + plaintext)


def panel_digest(keys: Sequence[bytes | None]) -> Hash:
    """Names the sealing keys of a panel, in its order; None is a seat without one."""
    return blake2b_256(_PANEL_DOMAIN + b"".join(b"\x00" if key is None else b"\x01" + key for key in keys))
