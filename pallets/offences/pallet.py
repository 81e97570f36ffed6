"""Offences: the equivocations that were proved on chain.

Authors bring evidence as inherents. A report is checked against the committee of the epoch of the votes,
which `session` remembers for a while, and recorded once for each offender, epoch and kind of offence. A
record holds both votes and the anchor that they sign, so that a light client can judge it again. Nobody is
punished yet.

A node asks `wants` whether a report of a piece of evidence would be new and in time on a state; only then it
looks at the signatures (`primitives.offence.verify_evidence` with the view `session.historical`), and puts
`runtime.offences.report_call` into its blocks. `reports_max` is how many a block takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from frame.call import inherent, view
from frame.context import Context
from frame.error import DispatchError, ensure
from frame.event import Event
from frame.origin import Origin, ensure_none
from frame.pallet import Pallet
from frame.storage import StorageDoubleMap, StorageMap, StorageValue
from frame.validators import Historical, History, Validator
from pallets.offences import weights
from primitives.certificate import verify_vote
from primitives.codec import Record
from primitives.offence import OffenceKind, OffenceRecord, kind_of_offence
from primitives.types import U32, U63, AccountId, AuthorityIndex, EpochIndex
from primitives.vote import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    reports_max: U32
    """Most reports in a block: each costs two signatures."""

    records_max: U32
    """How many records are kept; a newer one takes the place of the oldest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this pallet needs of others."""

    history: History


class Charge(Record, frozen=True):
    """What an authority of some epoch is charged with, once."""

    signer: AuthorityIndex
    kind: OffenceKind


class Reported(Event, frozen=True):
    """An offence was proved and recorded."""

    number: U63
    """Of its record."""

    offender: AccountId
    epoch: EpochIndex
    kind: OffenceKind


class TooManyReports(DispatchError):
    """The block has as many reports as it may have."""


class NoOffence(DispatchError):
    """The two votes do not conflict, or stand in the wrong order."""


class UnknownEpoch(DispatchError):
    """The epoch has not begun, or is too long ago."""


class AlreadyReported(DispatchError):
    """The authority is on record for such an offence in that epoch."""


class BadSignature(DispatchError):
    """The votes are not signed by that member of the committee of their epoch."""


class Offences(Pallet):
    """The equivocations that were proved. Implements frame.hooks.OnNewEpoch."""

    NAME = "offences"
    EVENTS = (Reported,)
    ERRORS = (TooManyReports, NoOffence, UnknownEpoch, AlreadyReported, BadSignature)

    count = StorageValue[int](U63, default=0)
    """Records ever made."""

    records = StorageMap[int, OffenceRecord](U63, OffenceRecord)
    """The newest of them by number, counted from 0."""

    charges = StorageDoubleMap[EpochIndex, Charge, int](EpochIndex, Charge, U63)
    """Numbers of the records of the epochs that evidence is taken of."""

    def __init__(self, context: Context, config: Config, needs: Needs) -> None:
        """Nothing reported yet in this block."""
        super().__init__(context)
        self.config = config
        self._needs = needs
        self._reports = 0

    @inherent(index=0, weight=weights.REPORT)
    def report(self, origin: Origin, evidence: Evidence) -> None:
        """Record an equivocation.

        `evidence`: two conflicting votes of a member of the committee of their epoch.
        """
        ensure_none(origin)
        ensure(self._reports < self.config.reports_max, TooManyReports)
        kind = kind_of_offence(evidence)
        if kind is None:
            raise NoOffence
        past = self._needs.history.historical(evidence.first.epoch)
        if past is None:
            raise UnknownEpoch
        ensure(not self._is_charged(evidence, kind), AlreadyReported)
        votes = (evidence.first, evidence.second)
        verify = self.context.verify
        signed = all(verify_vote(vote, past.committee, past.anchor, verify) for vote in votes)
        ensure(signed, BadSignature)
        self._record(evidence, kind, past)
        self._reports += 1

    @view
    def wants(self, evidence: Evidence) -> bool:
        """Whether a report would be new and in time, if both votes are signed.

        `evidence`: two votes.
        """
        kind = kind_of_offence(evidence)
        if kind is None or self._is_charged(evidence, kind):
            return False
        past = self._needs.history.historical(evidence.first.epoch)
        return past is not None and evidence.first.signer < len(past.committee.members)

    def on_new_epoch(self, epoch: EpochIndex, validators: tuple[Validator, ...]) -> None:
        """Forget who was charged in the epochs of which no evidence is taken any more."""
        for charged, charge in list(self._forgotten()):
            self.charges.remove(charged, charge)

    def restart(self) -> None:
        """Forget who was charged in which epoch, because epochs are counted anew; the records stay."""
        for epoch, charge in [entry for entry, _ in self.charges.items()]:
            self.charges.remove(epoch, charge)

    def check_state(self) -> None:
        """The newest records are kept, and each charge of a remembered epoch has been recorded."""
        count, records = self.count.get(), dict(self.records.items())
        assert sorted(records) == list(range(max(0, count - self.config.records_max), count))
        for (epoch, charge), number in self.charges.items():
            assert number < count
            record = records.get(number)
            if record is not None:
                vote = record.evidence.first
                assert (vote.epoch, vote.signer, record.kind) == (epoch, charge.signer, charge.kind)
        assert all(kind_of_offence(record.evidence) is record.kind for record in records.values())

    def _forgotten(self) -> Iterator[tuple[EpochIndex, Charge]]:
        """The charges of epochs that `history` no longer has. Epochs ascend, so that the first of those that
        it has ends the search: there may be thousands of charges, and a committee is long."""
        gone: EpochIndex | None = None
        for charged, charge in (entry for entry, _ in self.charges.items()):
            if charged != gone and self._needs.history.historical(charged) is not None:
                return
            gone = charged
            yield charged, charge

    def _is_charged(self, evidence: Evidence, kind: OffenceKind) -> bool:
        vote = evidence.first
        return self.charges.find(vote.epoch, Charge(vote.signer, kind)) is not None

    def _record(self, evidence: Evidence, kind: OffenceKind, past: Historical) -> None:
        """Store it, in the place of the oldest if there is no room."""
        vote, number = evidence.first, self.count.get()
        member, offender = past.committee.members[vote.signer], past.accounts[vote.signer]
        record = OffenceRecord(
            kind=kind,
            offender=offender,
            key=member.key,
            stake=member.stake,
            anchor=past.anchor,
            evidence=evidence,
            reported=self.context.block.height,
        )
        self.records.put(number, record)
        if number >= self.config.records_max:
            self.records.remove(number - self.config.records_max)
        self.charges.put(vote.epoch, Charge(vote.signer, kind), number)
        self.count.put(number + 1)
        self.deposit(Reported(number, offender, vote.epoch, kind))
