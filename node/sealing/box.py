"""What a private input looks like on its way: one ciphertext, and its key sealed to every reader.

The content key is random and of one input. What is under it is not believed: SecretBox does not bind its key,
so that two readers could be given different keys and open different inputs. What binds is the commitment that
the request fixed, which everybody compares with what he opened. Nor are the readers believed: they must be
those that the request fixed, each with a box, so that nobody can be left out in silence.

A sealed output is the same bytes from every member of the panel, or they could not agree on it: its key
follows from the salt, which is of one request, and its nonce is zero.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox

from frame.sealing import SealingKey
from primitives.codec import Codec, CodecError, Record
from primitives.committee import MEMBERS_MAX
from primitives.hashing import blake2b_256, domain
from primitives.sealing import input_commitment, panel_digest
from primitives.types import Bytes32, Hash, Seed

SALT_BYTES: Final = 32
BOX_BYTES: Final = 80
"""A content key of 32 bytes and what sealing adds."""

_RESULT_DOMAIN: Final = domain("private-output/1")


class Unopenable(Exception):
    """The sealed input is none, or not the one that the request fixed: the fault of whoever sealed it."""


class NotForUs(Exception):
    """It was sealed to the whole panel, and no key of ours was in it."""


class KeyBox(Record, frozen=True):
    """The content key, for one reader."""

    reader: SealingKey
    box: Annotated[bytes, msgspec.Meta(min_length=BOX_BYTES, max_length=BOX_BYTES)]


class SealedInput(Record, frozen=True):
    """A private input on its way."""

    boxes: Annotated[tuple[KeyBox | None, ...], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]
    """For every seat of the panel, in its order; None for one without a key."""

    ciphertext: bytes
    """SecretBox, with its nonce before it, over salt and input."""


class Sealed(Record, frozen=True):
    """A private input as its requester has it."""

    commitment: Hash
    data: bytes
    """What travels."""

    salt: Bytes32
    """With it, and only with it, a sealed output is read."""


class Fixed(Record, frozen=True):
    """What a request fixed of its private input."""

    purpose: Hash
    commitment: Hash
    panel: Hash


class Opened(Record, frozen=True):
    """A private input as a member of the panel has it."""

    plaintext: bytes
    salt: Bytes32


_SEALED: Final = Codec[SealedInput](SealedInput)


def public_key_of(seed: Seed) -> SealingKey:
    """The X25519 key whose secret is `seed`."""
    return SealingKey(bytes(PrivateKey(seed).public_key))


def seal_input(plaintext: bytes, purpose: Hash, panel: Sequence[SealingKey | None]) -> Sealed:
    """Seal an input to every key of a panel, in its order; None is a seat without one.

    `purpose`: `primitives.sealing.purpose_of`; for another one nobody opens it.
    """
    salt, key = Bytes32(secrets.token_bytes(SALT_BYTES)), secrets.token_bytes(SecretBox.KEY_SIZE)
    boxes = tuple(
        None if reader is None else KeyBox(reader, SealedBox(PublicKey(reader)).encrypt(key))
        for reader in panel
    )
    data = _SEALED.encode(SealedInput(boxes, bytes(SecretBox(key).encrypt(salt + plaintext))))
    return Sealed(input_commitment(purpose, salt, plaintext), data, salt)


def open_input(data: bytes, fixed: Fixed, secrets_: Mapping[SealingKey, Seed]) -> Opened:
    """What was sealed to one of our keys, and to all of the panel. Raises Unopenable, NotForUs."""
    try:
        sealed = _SEALED.decode(data)
    except CodecError:
        raise Unopenable("it is no sealed input") from None
    if panel_digest([None if box is None else box.reader for box in sealed.boxes]) != fixed.panel:
        raise Unopenable("it is not sealed to the keys that the request fixed")
    box = next((box for box in sealed.boxes if box is not None and box.reader in secrets_), None)
    if box is None:
        raise NotForUs
    try:
        key = SealedBox(PrivateKey(secrets_[box.reader])).decrypt(box.box)
        opened = SecretBox(key).decrypt(sealed.ciphertext)
    except (CryptoError, ValueError):
        raise Unopenable("it does not open with the key that was sealed to us") from None
    salt, plaintext = Bytes32(opened[:SALT_BYTES]), opened[SALT_BYTES:]
    if len(salt) != SALT_BYTES or input_commitment(fixed.purpose, salt, plaintext) != fixed.commitment:
        raise Unopenable("what is in it is not what the request fixed")
    return Opened(plaintext, salt)


def seal_output(salt: Bytes32, output: bytes) -> bytes:
    """An output that only panel and requester read; the same bytes whoever seals it."""
    box = SecretBox(blake2b_256(_RESULT_DOMAIN + salt))
    return bytes(box.encrypt(output, bytes(SecretBox.NONCE_SIZE)).ciphertext)


def open_output(salt: Bytes32, data: bytes) -> bytes:
    """What `seal_output` sealed. Raises Unopenable."""
    box = SecretBox(blake2b_256(_RESULT_DOMAIN + salt))
    try:
        return bytes(box.decrypt(data, bytes(SecretBox.NONCE_SIZE)))
    except (CryptoError, ValueError):
        raise Unopenable("it is not the output of the request with this secret") from None
