"""What travels on the protocol of attested jobs: one signed message in a frame."""

from typing import Final

from primitives.codec import Codec, CodecError, Record
from primitives.job_message import RESULT_BYTES_MAX, Abstain, Commit, Result, Reveal

PROTOCOL: Final = "/consilience/jobs/1"

FRAME_BYTES_MAX: Final = RESULT_BYTES_MAX + 512
"""Longest frame: a reveal with its result, and the record around it."""


class ToldCommit(Record, frozen=True, tag="commit"):
    """A commitment."""

    message: Commit


class ToldAbstain(Record, frozen=True, tag="abstain"):
    """An abstention."""

    message: Abstain


class ToldReveal(Record, frozen=True, tag="reveal"):
    """A reveal with its result, which a block brings only once."""

    message: Reveal
    result: Result


Told = ToldCommit | ToldAbstain | ToldReveal

_TOLD: Final[Codec[Told]] = Codec(Told)


def encode_told(told: Told) -> bytes:
    """The frame that carries `told`."""
    return _TOLD.encode(told)


def decode_told(frame: bytes) -> Told:
    """The message in `frame`. Raises CodecError."""
    if len(frame) > FRAME_BYTES_MAX:
        raise CodecError(f"{len(frame)} bytes; a job message has at most {FRAME_BYTES_MAX}")
    return _TOLD.decode(frame)
