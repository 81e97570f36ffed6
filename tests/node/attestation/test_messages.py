"""Frames of job messages: one value, one spelling, bounded."""

import pytest

from node.attestation.messages import (
    FRAME_BYTES_MAX,
    Told,
    ToldAbstain,
    ToldCommit,
    ToldReveal,
    decode_told,
    encode_told,
)
from primitives.codec import CodecError
from primitives.job_message import RESULT_BYTES_MAX, sign_abstain, sign_commit, sign_reveal
from primitives.types import Hash
from tests.node.attestation.jobs import GENESIS, KEYS

JOB = Hash(b"\x01" * 32)
REVEAL = sign_reveal(KEYS[0], GENESIS, JOB, JOB, bytes(32))


@pytest.mark.parametrize(
    "told",
    [
        ToldCommit(sign_commit(KEYS[0], GENESIS, JOB, JOB)),
        ToldAbstain(sign_abstain(KEYS[0], GENESIS, JOB)),
        ToldReveal(REVEAL, b""),
        ToldReveal(REVEAL, bytes(RESULT_BYTES_MAX)),
    ],
)
def test_a_message_survives_its_frame(told: Told) -> None:
    frame = encode_told(told)
    assert len(frame) <= FRAME_BYTES_MAX
    assert decode_told(frame) == told
    with pytest.raises(CodecError):
        decode_told(frame + b"\x00")


@pytest.mark.parametrize("frame", [b"", b"\xff", b"\x92\xa6commit\x90", bytes(FRAME_BYTES_MAX + 1)])
def test_anything_else_is_no_message(frame: bytes) -> None:
    with pytest.raises(CodecError):
        decode_told(frame)


def test_a_result_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(CodecError):
        encode_told(ToldReveal(REVEAL, bytes(RESULT_BYTES_MAX + 1)))
