"""Job messages that wait for a block: verified, one for each seat and phase of an open job."""

from collections.abc import Sequence
from enum import Enum, auto
from threading import Lock

from node.attestation.messages import Told, ToldReveal
from primitives.certificate import Verifier
from primitives.extrinsic import Call
from primitives.job_message import (
    JobPhase,
    commitment_of,
    phase_of,
    result_digest,
    verify_job_message,
)
from primitives.types import BlockHash, Hash, PublicKey
from runtime.constants import JOBS
from runtime.jobs import OpenJob, Seat, job_call

Slot = tuple[Hash, PublicKey, JobPhase]
"""Job, validator and phase of a message."""


class Verdict(Enum):
    """What a message is worth."""

    NEW = auto()
    """It was taken, and should be told on."""

    KNOWN = auto()
    """There is one for its slot."""

    EARLY = auto()
    """The job, or its phase, may be in a block that is not final here."""

    LATE = auto()
    """The chain has it, or does not take it any more."""

    FORGED = auto()
    """Nobody honest tells such a message."""


class MessagePool:
    """Bounded by the chain, which bounds open jobs and their seats. Safe to call from several threads."""

    def __init__(self, genesis: BlockHash, verifier: Verifier) -> None:
        self._genesis = genesis
        self._verifier = verifier
        self._jobs: dict[Hash, OpenJob] = {}
        self._messages: dict[Slot, Told] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._messages)

    def update(self, jobs: Sequence[OpenJob]) -> None:
        """Take over the open jobs of the finalized state, and drop what it settles."""
        self._jobs = {job.id: job for job in jobs}
        with self._lock:
            settled = [slot for slot in self._messages if not self._is_awaited(slot)]
            for slot in settled:
                del self._messages[slot]

    def offer(self, told: Told) -> Verdict:
        """Judge a message, and keep it if it is new."""
        message = told.message
        job, phase = self._jobs.get(message.job), phase_of(message)
        if job is None or job.phase < phase:
            return Verdict.EARLY
        slot = message.job, message.validator, phase
        if slot in self._messages:
            return Verdict.KNOWN
        seat = _seat(job, message.validator)
        if seat is None:
            return Verdict.FORGED
        if not self._is_awaited(slot):
            return Verdict.LATE
        if not self._is_sound(told, seat):
            return Verdict.FORGED
        with self._lock:
            self._messages[slot] = told
        return Verdict.NEW

    def inherents(self, jobs: Sequence[OpenJob]) -> list[Call]:
        """What a block on a state with these open jobs can take, the oldest job first.

        No more than a block may have: its author tries each, and many validators may work on many jobs.
        """
        with self._lock:
            messages = dict(self._messages)
        calls: list[Call] = []
        for job in jobs:
            known = set(job.known)
            for seat in job.seats:
                told = messages.get((job.id, seat.key, job.phase))
                if told is None or not _awaits(job, seat):
                    continue
                if isinstance(told, ToldReveal):
                    result = None if told.message.digest in known else told.result
                    known.add(told.message.digest)
                    calls.append(job_call(told.message, result))
                else:
                    calls.append(job_call(told.message, None))
        return calls[: JOBS.messages_max]

    def _is_awaited(self, slot: Slot) -> bool:
        id_, validator, phase = slot
        job = self._jobs.get(id_)
        seat = None if job is None else _seat(job, validator)
        return job is not None and seat is not None and job.phase is phase and _awaits(job, seat)

    def _is_sound(self, told: Told, seat: Seat) -> bool:
        """Whether signature, commitment and result are what the chain asks for."""
        message = told.message
        if isinstance(told, ToldReveal):
            reveal = told.message
            opened = commitment_of(self._genesis, reveal.job, seat.key, reveal.digest, reveal.salt)
            if opened != seat.commitment or result_digest(told.result) != reveal.digest:
                return False
        return verify_job_message(self._genesis, message, self._verifier)


def _seat(job: OpenJob, validator: PublicKey) -> Seat | None:
    return next((seat for seat in job.seats if seat.key == validator), None)


def _awaits(job: OpenJob, seat: Seat) -> bool:
    """Whether the chain takes a message of the seat in the job's phase."""
    if job.phase is JobPhase.COMMIT:
        return not seat.has_spoken
    return seat.commitment is not None and not seat.has_revealed
