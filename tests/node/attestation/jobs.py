"""Open jobs for the tests of attesting, and four validators to work on them."""

import dataclasses
from collections.abc import Sequence

from node.attestation.core import Action, AttestationCore, Compute, Computed, Finalized, Result, Tell, Trouble
from node.attestation.messages import Told
from primitives.job_message import JobPhase
from primitives.signing import SigningKey
from primitives.types import BlockHash, BlockNumber, Hash, PublicKey, Seed
from runtime.jobs import OpenJob, ProveTask, Seat

GENESIS = BlockHash(b"\x67" * 32)
SEEDS = tuple(Seed(bytes([50 + index]) * 32) for index in range(4))
KEYS = tuple(SigningKey(seed) for seed in SEEDS)
BLOB = Hash(b"\xb1" * 32)
SILENT_SEATS = tuple(
    Seat(key=key.public_key, has_spoken=False, commitment=None, has_revealed=False) for key in KEYS
)


def seeds_of(seed: Seed) -> dict[PublicKey, Seed]:
    """The session keys of a validator that has one."""
    return {SigningKey(seed).public_key: seed}


def job_of(
    number: int = 1,
    *,
    phase: JobPhase = JobPhase.COMMIT,
    seats: Sequence[Seat] = SILENT_SEATS,
    opened: int = 10,
    closes: int = 50,
) -> OpenJob:
    """A job to prove a file of three bytes."""
    return OpenJob(
        id=Hash(bytes([number]) * 32),
        task=ProveTask(blob=BLOB, size_bytes=3),
        phase=phase,
        opened=BlockNumber(opened),
        closes=BlockNumber(closes),
        seats=tuple(seats),
        known=(),
    )


def with_seat(job: OpenJob, index: int, **changes: object) -> OpenJob:
    """The job with one seat changed."""
    seats = list(job.seats)
    seats[index] = dataclasses.replace(seats[index], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(job, seats=tuple(seats))


def finalized(height: int, *jobs: OpenJob) -> Finalized:
    """A final block that leaves these jobs open."""
    return Finalized(BlockNumber(height), jobs)


def tells(actions: Sequence[Action]) -> list[Told]:
    """What is told."""
    return [action.told for action in actions if isinstance(action, Tell)]


def computes(actions: Sequence[Action]) -> list[Hash]:
    """The jobs that are started."""
    return [action.job.id for action in actions if isinstance(action, Compute)]


def worked(core: AttestationCore, job: OpenJob, outcome: Result | Trouble = b"42") -> list[Action]:
    """Let a core see a job for the first time, and finish it."""
    assert computes(core.handle(finalized(11, job))) == [job.id]
    return core.handle(Computed(job.id, outcome))
