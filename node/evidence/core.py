"""Evidence that waits for a block: verified, one piece for each offender, epoch and kind of offence."""

from enum import Enum, auto
from typing import Final

from frame.validators import Historical
from primitives.certificate import Verifier
from primitives.offence import OffenceKind, kind_of_offence, verify_evidence
from primitives.types import AuthorityIndex, EpochIndex
from primitives.vote import Evidence

PENDING_MAX: Final = 1024
"""Pieces that wait. A third of the largest committee can be convicted of everything in four epochs before one
is lost, and each piece that a block takes makes room."""

Offence = tuple[EpochIndex, AuthorityIndex, OffenceKind]
"""What the chain records once."""


class Verdict(Enum):
    """What a piece of evidence is worth."""

    NEW = auto()
    """It was taken, and should be told on."""

    KNOWN = auto()
    """The offence is known here, or there is no room."""

    EARLY = auto()
    """The epoch begins with a block that may be final elsewhere, and is not here."""

    FAR = auto()
    """The epoch is further ahead, so that nothing says who may have voted in it."""

    LATE = auto()
    """The chain has it on record, or the epoch is too long ago."""

    FORGED = auto()
    """It proves nothing; nobody honest tells it."""


def offence_of(evidence: Evidence) -> Offence | None:
    """What `evidence` is about; None if it is no evidence."""
    kind = kind_of_offence(evidence)
    return None if kind is None else (evidence.first.epoch, evidence.first.signer, kind)


class EvidencePool:
    """What this node can prove and the chain has not recorded."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._pending: dict[Offence, Evidence] = {}
        self.seen = 0
        """Offences ever taken."""

    def pending(self) -> list[Evidence]:
        """What waits, the oldest first. A list is made of it in one step: other threads may call this."""
        return list(self._pending.values())

    def judge(self, evidence: Evidence) -> Verdict | None:
        """What can be said without the chain; None if that is needed."""
        offence = offence_of(evidence)
        if offence is None:
            return Verdict.FORGED
        is_full = len(self._pending) >= PENDING_MAX
        return Verdict.KNOWN if is_full or offence in self._pending else None

    def offer(self, evidence: Evidence, epoch: EpochIndex, past: Historical | None, wanted: bool) -> Verdict:
        """Take a piece, if it is good. `epoch`: of the next block; `past`: the committee of the votes, if the
        chain remembers one; `wanted`: whether it lacks a record of the offence."""
        verdict = self.judge(evidence)
        if verdict is not None:
            return verdict
        if past is None:
            return _when(evidence.first.epoch - epoch)
        if not wanted and evidence.first.signer < len(past.committee.members):
            return Verdict.LATE  # before the signatures: anybody may repeat what the chain has on record
        if not verify_evidence(evidence, past.committee, past.anchor, self._verifier):
            return Verdict.FORGED
        offence = offence_of(evidence)
        assert offence is not None
        self._pending[offence] = evidence
        self.seen += 1
        return Verdict.NEW

    def settle(self, evidence: Evidence) -> None:
        """The chain has it, or takes it no more."""
        offence = offence_of(evidence)
        assert offence is not None
        self._pending.pop(offence, None)


def _when(ahead: int) -> Verdict:
    """What to do with a piece whose epoch is so far ahead and has no committee here."""
    if ahead < 0:
        return Verdict.LATE
    return Verdict.EARLY if ahead <= 1 else Verdict.FAR
