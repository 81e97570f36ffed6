"""Calls, and how they enter a block: signed by an account, or inherent, put in by the author."""

from typing import Annotated, Final

import msgspec

from primitives.codec import Codec, CodecError, Record, spell
from primitives.hashing import blake2b_256, domain
from primitives.signing import SigningKey, verify
from primitives.types import (
    U8,
    AccountId,
    Balance,
    BlockHash,
    BlockNumber,
    Bytes32,
    ExtrinsicHash,
    Nonce,
    Signature,
    SpecVersion,
)

CALL_BYTES_MAX: Final = 128 * 1024
"""Longest argument list of one call, encoded."""

EXTRINSIC_BYTES_MAX: Final = CALL_BYTES_MAX + 512
"""Longest extrinsic, encoded: a call and at most 512 bytes around it."""

MORTALITY_PERIOD_MAX: Final = 4096
"""Longest life of an extrinsic, in blocks; as many hashes of recent blocks are kept in the state."""


class Call(Record, frozen=True):
    """One dispatchable of one pallet with its arguments."""

    pallet: U8
    """Index of the pallet in the runtime."""

    function: U8
    """Index of the call in its pallet."""

    arguments: Annotated[bytes, msgspec.Meta(max_length=CALL_BYTES_MAX)]
    """Canonical array of the arguments, under the types that the call declares."""


class Mortality(Record, frozen=True):
    """Blocks in which an extrinsic is valid: birth < height <= birth + period."""

    period: Annotated[int, msgspec.Meta(ge=1, le=MORTALITY_PERIOD_MAX)]
    """Length of life, in blocks."""

    birth: BlockNumber
    """The block whose hash is signed, so that the extrinsic dies with its fork."""


class Extrinsic(Record, frozen=True):
    """A signed transaction."""

    signer: AccountId
    nonce: Nonce
    mortality: Mortality
    tip: Balance
    call: Call
    signature: Signature


class SigningContext(Record, frozen=True):
    """What an extrinsic is bound to besides its own fields; it is signed, never sent."""

    genesis: BlockHash
    fork_id: Annotated[str, msgspec.Meta(max_length=64)]
    spec_version: SpecVersion
    birth_hash: Bytes32
    """Hash of the block at `mortality.birth`."""


CALL: Final = Codec[Call](Call)
EXTRINSIC: Final = Codec[Extrinsic](Extrinsic)
_DOMAIN: Final = domain("extrinsic/1")


def sign_extrinsic(
    key: SigningKey,
    nonce: Nonce,
    mortality: Mortality,
    tip: Balance,
    call: Call,
    context: SigningContext,
) -> Extrinsic:
    """An extrinsic of the account whose key this is."""
    signer = AccountId(key.public_key)
    signature = key.sign(_message(signer, nonce, mortality, tip, call, context=context))
    return Extrinsic(signer, nonce, mortality, tip, call, signature)


def signed_message(extrinsic: Extrinsic, context: SigningContext) -> bytes:
    """The bytes that `extrinsic.signature` must sign: domain, context, every field but the signature."""
    return _message(
        extrinsic.signer,
        extrinsic.nonce,
        extrinsic.mortality,
        extrinsic.tip,
        extrinsic.call,
        context=context,
    )


def verify_extrinsic(extrinsic: Extrinsic, context: SigningContext) -> bool:
    """Whether the signer signed these fields for this chain, version and birth block."""
    return verify(extrinsic.signer, signed_message(extrinsic, context), extrinsic.signature)


def decode_extrinsic(data: bytes) -> Extrinsic:
    """The extrinsic that `data` spells. Raises CodecError if it is too long or not canonical."""
    if len(data) > EXTRINSIC_BYTES_MAX:
        raise CodecError(f"{len(data)} bytes; an extrinsic has at most {EXTRINSIC_BYTES_MAX}")
    return EXTRINSIC.decode(data)


def extrinsic_hash(data: bytes) -> ExtrinsicHash:
    """Identity of the extrinsic with these canonical bytes."""
    return ExtrinsicHash(blake2b_256(_DOMAIN + data))


def _message(*fields: object, context: SigningContext) -> bytes:
    return _DOMAIN + spell(context) + spell(fields)
