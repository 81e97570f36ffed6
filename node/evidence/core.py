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
    """The epoch may be in a block that is not final here."""

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
            return Verdict.EARLY if evidence.first.epoch >= epoch else Verdict.LATE
        if not verify_evidence(evidence, past.committee, past.anchor, self._verifier):
            return Verdict.FORGED
        if not wanted:
            return Verdict.LATE
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
