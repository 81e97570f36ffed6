"""What a validator says about an attested job: a commitment to its result, then the result's digest.

A commitment hides the result behind a salt until everybody has committed, and binds it to one validator, so
that it cannot be copied. Everything is bound to one chain and one job by a signature of the session key.
"""

from enum import IntEnum
from typing import Annotated, Final

import msgspec

from primitives.certificate import Verifier
from primitives.codec import Codec, Record
from primitives.hashing import blake2b_256, domain
from primitives.signing import SigningKey, verify
from primitives.types import BlockHash, Bytes32, Hash, PublicKey, Signature

RESULT_BYTES_MAX: Final = 4096
"""Longest result of a job: it lives in the state."""

OUTPUT_BYTES_MAX: Final = 1024 * 1024
"""Longest output of a run: one that is no result itself is named by its content hash."""

Result = Annotated[bytes, msgspec.Meta(max_length=RESULT_BYTES_MAX)]


class StoredOutput(Record, frozen=True):
    """The result of a run whose output is too long for the state: who revealed it gives it as a blob."""

    blob: Hash
    """Content hash of the output."""

    size_bytes: Annotated[int, msgspec.Meta(ge=1, le=OUTPUT_BYTES_MAX)]


STORED_OUTPUT: Final = Codec[StoredOutput](StoredOutput)


class JobPhase(IntEnum):
    """What a job waits for."""

    COMMIT = 0
    """Commitments and abstentions."""

    REVEAL = 1
    """The results behind the commitments."""


class Commit(Record, frozen=True):
    """`validator` has a result."""

    job: Hash
    validator: PublicKey
    """Session key of its seat."""

    commitment: Hash
    signature: Signature


class Abstain(Record, frozen=True):
    """`validator` could not compute the job, and will not commit."""

    job: Hash
    validator: PublicKey
    cannot_open: bool
    """Whether the fault is the payer's: what was to be given of the input is not to be had, or not usable."""

    signature: Signature


class Reveal(Record, frozen=True):
    """What opens a commitment; the result itself travels beside it."""

    job: Hash
    validator: PublicKey
    digest: Hash
    """`result_digest` of the result."""

    salt: Bytes32
    signature: Signature


JobMessage = Commit | Abstain | Reveal

_RESULT_DOMAIN: Final = domain("job-result/1")
_COMMITMENT_DOMAIN: Final = domain("job-commitment/1")
_MESSAGE_DOMAIN: Final = domain("job-message/1")


def result_digest(result: bytes) -> Hash:
    """What a reveal and a record name a result by."""
    return blake2b_256(_RESULT_DOMAIN + result)


def commitment_of(genesis: BlockHash, job: Hash, validator: PublicKey, digest: bytes, salt: bytes) -> Hash:
    """What `validator` commits to; every part has a fixed length."""
    place = genesis + job + bytes([JobPhase.COMMIT]) + validator
    return blake2b_256(_COMMITMENT_DOMAIN + place + digest + salt)


def phase_of(message: JobMessage) -> JobPhase:
    """The phase in which a job takes the message, one from each seat."""
    return JobPhase.REVEAL if isinstance(message, Reveal) else JobPhase.COMMIT


def sign_commit(key: SigningKey, genesis: BlockHash, job: Hash, commitment: Hash) -> Commit:
    """The commitment of the validator whose session key this is."""
    said = _signed(genesis, job, JobPhase.COMMIT, key.public_key, commitment)
    return Commit(job, key.public_key, commitment, key.sign(said))


def sign_abstain(key: SigningKey, genesis: BlockHash, job: Hash, *, cannot_open: bool = False) -> Abstain:
    """The abstention of the validator whose session key this is."""
    said = _signed(genesis, job, JobPhase.COMMIT, key.public_key, bytes([cannot_open]))
    return Abstain(job, key.public_key, cannot_open, key.sign(said))


def sign_reveal(key: SigningKey, genesis: BlockHash, job: Hash, digest: Hash, salt: bytes) -> Reveal:
    """The reveal of the validator whose session key this is."""
    said = _signed(genesis, job, JobPhase.REVEAL, key.public_key, digest + salt)
    return Reveal(job, key.public_key, digest, salt, key.sign(said))


def verify_job_message(genesis: BlockHash, message: JobMessage, verifier: Verifier = verify) -> bool:
    """Whether the validator that the message names signed it for this chain."""
    signed = _signed(genesis, message.job, phase_of(message), message.validator, _said(message))
    return verifier(message.validator, signed, message.signature)


def _said(message: JobMessage) -> bytes:
    match message:
        case Commit():
            return message.commitment
        case Abstain():
            return bytes([message.cannot_open])
        case Reveal():
            return message.digest + message.salt


def _signed(genesis: BlockHash, job: Hash, phase: JobPhase, validator: PublicKey, said: bytes) -> bytes:
    """The signed bytes. What is said is 1, 32 or 64 bytes long, so that no message can pass for another."""
    return _MESSAGE_DOMAIN + genesis + job + bytes([phase]) + validator + said
