"""Messages about jobs: what binds them, and what does not verify."""

import pytest
from msgspec.structs import replace

from primitives.job_message import (
    Abstain,
    JobMessage,
    JobPhase,
    commitment_of,
    phase_of,
    result_digest,
    sign_abstain,
    sign_commit,
    sign_reveal,
    verify_job_message,
)
from primitives.signing import SigningKey
from primitives.types import BlockHash, Hash, PublicKey, Seed

KEY, OTHER = SigningKey(Seed(b"\x01" * 32)), SigningKey(Seed(b"\x02" * 32))
GENESIS, FORK = BlockHash(b"\x03" * 32), BlockHash(b"\x04" * 32)
JOB, DIGEST, SALT = Hash(b"\x05" * 32), result_digest(b"42"), b"\x06" * 32
COMMITMENT = commitment_of(GENESIS, JOB, KEY.public_key, DIGEST, SALT)
MESSAGES: tuple[JobMessage, ...] = (
    sign_commit(KEY, GENESIS, JOB, COMMITMENT),
    sign_abstain(KEY, GENESIS, JOB),
    sign_reveal(KEY, GENESIS, JOB, DIGEST, SALT),
)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_verifies_for_its_chain_job_and_validator_only(message: JobMessage) -> None:
    assert verify_job_message(GENESIS, message)
    assert not verify_job_message(FORK, message)
    assert not verify_job_message(GENESIS, replace(message, job=Hash(b"\x07" * 32)))
    assert not verify_job_message(GENESIS, replace(message, validator=OTHER.public_key))


def test_what_is_said_is_signed() -> None:
    commit, _, reveal = MESSAGES
    assert not verify_job_message(GENESIS, replace(commit, commitment=Hash(SALT)))
    assert not verify_job_message(GENESIS, replace(reveal, digest=Hash(SALT)))
    assert not verify_job_message(GENESIS, replace(reveal, salt=bytes(32)))


def test_the_signature_of_one_message_is_none_of_another() -> None:
    for message in MESSAGES:
        forged = Abstain(JOB, KEY.public_key, False, message.signature)
        assert verify_job_message(GENESIS, forged) == isinstance(message, Abstain)


def test_a_commitment_depends_on_every_part_of_it() -> None:
    parts: tuple[tuple[BlockHash, Hash, PublicKey, Hash, bytes], ...] = (
        (GENESIS, JOB, KEY.public_key, DIGEST, SALT),
        (FORK, JOB, KEY.public_key, DIGEST, SALT),
        (GENESIS, Hash(b"\x07" * 32), KEY.public_key, DIGEST, SALT),
        (GENESIS, JOB, OTHER.public_key, DIGEST, SALT),
        (GENESIS, JOB, KEY.public_key, result_digest(b"43"), SALT),
        (GENESIS, JOB, KEY.public_key, DIGEST, bytes(32)),
    )
    assert len({commitment_of(*each) for each in parts}) == len(parts)


def test_commitments_and_abstentions_are_of_one_phase() -> None:
    assert [phase_of(message) for message in MESSAGES] == [JobPhase.COMMIT, JobPhase.COMMIT, JobPhase.REVEAL]
