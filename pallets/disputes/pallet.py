"""Disputes: results of jobs are challenged for a while, and the conduct of validators is counted.

Whoever doubts an attested result puts up a bond, the price of the work of all validators, and pays for a
second job about the same work. What more than two thirds of the stake find there holds. A challenger who was
right gets the bond back, and from the treasury, as far as it has, what the second job cost; who was wrong
loses the bond to the treasury. If the validators disagree, and no two thirds find the same, the model is
suspended and nobody is punished: it may be the model, or an engine, and not they.

There is no stake that could be slashed yet. What a staking pallet will need is counted: how every seat of
every job came to its end, and who had agreed to what was overturned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from frame.call import call, view
from frame.context import Context
from frame.currency import Currency
from frame.error import ensure
from frame.jobs import Attestation, Closed, Conduct, JobKind, JobOwner, Jobs, Order
from frame.origin import Origin, ensure_signed
from frame.pallet import Pallet
from frame.storage import StorageDoubleMap, StorageMap
from pallets.disputes import weights
from pallets.disputes.types import (
    AlreadyChallenged,
    BondAboveMaximum,
    Challenge,
    Challenged,
    Conducts,
    MisAttested,
    NotChallengeable,
    Past,
    Ruled,
    Ruling,
)
from primitives.types import U32, AccountId, Balance, BlockNumber, Hash

BOND: Final = "disputes.bond"
_COUNT_MAX: Final = 2**32 - 1
_NO_CONDUCTS: Final = Conducts(0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    window_blocks: U32
    """How long after its end a job can be challenged; what it was about stays in the state so long."""

    treasury: AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this pallet needs of others."""

    currency: Currency
    jobs: Jobs


class Disputes(Pallet):
    """Stands between jobs and those who opened them. Implements frame.jobs.OnJobClosed."""

    NAME = "disputes"
    EVENTS = (Challenged, Ruled, MisAttested)
    ERRORS = (NotChallengeable, AlreadyChallenged, BondAboveMaximum)

    past = StorageMap[Hash, Past](Hash, Past)
    """By closed job, until it is settled."""

    due = StorageDoubleMap[BlockNumber, Hash, bool](BlockNumber, Hash, bool)
    """Jobs that nobody has challenged, by the block that settles them."""

    reruns = StorageMap[Hash, Hash](Hash, Hash)
    """Open second job to the first."""

    conducts = StorageMap[AccountId, Conducts](AccountId, Conducts, default=_NO_CONDUCTS)
    """By validator, as many as ever had a session key."""

    def __init__(self, context: Context, config: Config, needs: Needs) -> None:
        """`bind` comes next."""
        super().__init__(context)
        self.config = config
        self._needs = needs
        self._owners: Mapping[JobKind, JobOwner] = {}

    def bind(self, owners: Mapping[JobKind, JobOwner]) -> None:
        """Say who opens jobs, for every kind."""
        assert set(owners) == set(JobKind)
        self._owners = owners

    @call(index=0, weight=weights.CHALLENGE)
    def challenge(self, origin: Origin, job: Hash, max_bond: Balance) -> None:
        """Doubt the result of a job, and have all validators do the work again. Origin: Signed.

        The price of the work is paid like that of any job, and the bond is held besides.

        `job`: one that closed with a quorum, not long ago.
        `max_bond`: most to put up; `disputes.bond` says how much it is.
        """
        challenger = ensure_signed(origin)
        past = self.past.find(job)
        if past is None:
            raise NotChallengeable
        ensure(past.challenge is None, AlreadyChallenged)
        bond = self._bond(past)
        ensure(bond <= max_bond, BondAboveMaximum)
        self._needs.currency.hold(BOND, challenger, bond)
        order = Order(
            kind=past.kind,
            inputs=past.inputs,
            gas=past.gas,
            payer=challenger,
            input_bytes=past.input_bytes,
            is_input_given=past.is_input_given,
        )
        rerun = self._needs.jobs.open(order)
        self.due.remove(past.until, job)
        self.reruns.put(rerun, job)
        self.past.put(job, replace(past, challenge=Challenge(challenger, bond, rerun)))
        self.deposit(Challenged(job, rerun, challenger, bond))

    @view
    def bond(self, job: Hash) -> Balance | None:
        """What a challenge puts up, besides the price of the work; nothing if it is too late for one.

        `job`: the job to doubt.
        """
        past = self.past.find(job)
        return None if past is None or past.challenge is not None else self._bond(past)

    @view
    def unsettled(self, job: Hash) -> Past | None:
        """A closed job whose result may change.

        `job`: its identity.
        """
        return self.past.find(job)

    @view
    def conduct_of(self, who: AccountId) -> Conducts:
        """How often the seats of a validator came to what end.

        `who`: its account.
        """
        return self.conducts.get(who)

    def origin_of(self, job: Hash) -> Hash:
        """The job whose work an open job does: the first one for a second one, itself for any other."""
        return self.reruns.find(job) or job

    def on_job_closed(self, closed: Closed) -> None:
        """As in OnJobClosed."""
        if not closed.is_cancelled:
            self._count(closed.attestations)
        first = self.reruns.find(closed.job)
        if first is not None:
            self.reruns.remove(closed.job)
            self._rule(first, closed)
            return
        self._owners[closed.order.kind].on_job_closed(closed)
        if closed.digest is None:
            self._owners[closed.order.kind].on_job_settled(closed.job)
            return
        until = BlockNumber(self.context.block.height + self.config.window_blocks)
        past = Past(
            kind=closed.order.kind,
            inputs=closed.order.inputs,
            gas=closed.order.gas,
            input_bytes=closed.order.input_bytes,
            is_input_given=closed.order.is_input_given,
            digest=closed.digest,
            attestations=closed.attestations,
            until=until,
            challenge=None,
        )
        self.past.put(closed.job, past)
        self.due.put(until, closed.job, True)

    def on_finalize(self) -> None:
        """Settle what nobody challenged in time."""
        height = self.context.block.height
        for job, _ in list(self.due.under(height)):
            self.due.remove(height, job)
            self._settle(job, self.past.get(job))

    def restart(self) -> None:
        """Settle everything: heights begin again. No second job is open."""
        assert not list(self.reruns.items())
        for (height, job), _ in list(self.due.items()):
            self.due.remove(height, job)
            self._settle(job, self.past.get(job))

    def check_state(self) -> None:
        """What is not settled is due, or being done again; bonds are held."""
        past = dict(self.past.items())
        assert {job for (_, job), _ in self.due.items()} == {
            job for job, one in past.items() if one.challenge is None
        }
        due = [place for place, _ in self.due.items()]
        assert all(past[job].until == height >= self.context.block.height for height, job in due)
        challenges = {job: one.challenge for job, one in past.items() if one.challenge is not None}
        assert dict(self.reruns.items()) == {one.rerun: job for job, one in challenges.items()}
        assert all(self._needs.jobs.is_open(rerun) for rerun, _ in self.reruns.items())
        for who in sorted({one.challenger for one in challenges.values()}):
            bonds = sum(one.bond for one in challenges.values() if one.challenger == who)
            assert self._needs.currency.held(BOND, who) == bonds

    def _bond(self, past: Past) -> Balance:
        """The price of the work of every seat that the first job had: also at the highest price of gas less
        than a balance can count."""
        return Balance(len(past.attestations) * self._needs.jobs.quote(past.gas))

    def _rule(self, job: Hash, closed: Closed) -> None:
        """What the second job `closed` means for the first one."""
        past = self.past.get(job)
        challenge, currency = past.challenge, self._needs.currency
        assert challenge is not None
        ruling = _ruling(past, closed)
        if ruling is Ruling.UPHELD:
            currency.move_held(BOND, challenge.challenger, self.config.treasury, challenge.bond)
        else:
            currency.release(BOND, challenge.challenger, challenge.bond)
        if ruling is Ruling.OVERTURNED:
            self._overturn(job, past, closed)
        elif ruling is Ruling.DISPUTED:
            self._owners[past.kind].on_job_disputed(job)
        self.deposit(Ruled(job, closed.job, ruling))
        self._settle(job, past)

    def _overturn(self, job: Hash, past: Past, closed: Closed) -> None:
        """Change the record, note who stood for the old one, and pay the challenger back."""
        for seat in past.attestations:
            if seat.conduct is Conduct.AGREED:
                known = self.conducts.get(seat.validator)
                self.conducts.put(seat.validator, replace(known, overturned=_one_more(known.overturned)))
                self.deposit(MisAttested(job, seat.validator))
        self._owners[past.kind].on_job_overturned(_in_place_of(job, closed))
        has = self._needs.currency.spendable(self.config.treasury)
        paid_back = Balance(min(has, closed.cost))
        if paid_back:
            self._needs.currency.withdraw(self.config.treasury, paid_back)
            self._needs.currency.settle(closed.order.payer, paid_back)

    def _settle(self, job: Hash, past: Past) -> None:
        self.past.remove(job)
        self._owners[past.kind].on_job_settled(job)

    def _count(self, attestations: tuple[Attestation, ...]) -> None:
        for seat in attestations:
            known, name = self.conducts.get(seat.validator), seat.conduct.name.lower()
            self.conducts.put(seat.validator, replace(known, **{name: _one_more(getattr(known, name))}))


def _ruling(past: Past, closed: Closed) -> Ruling:
    if closed.digest is not None:
        return Ruling.UPHELD if closed.digest == past.digest else Ruling.OVERTURNED
    total = sum(seat.stake for seat in closed.attestations)
    other = sum(stake for digest, stake in closed.revealed if digest != past.digest)
    return Ruling.DISPUTED if 3 * other > total else Ruling.UNANSWERED


def _in_place_of(job: Hash, closed: Closed) -> Closed:
    """What the first job would have come to."""
    return Closed(
        job=job,
        order=closed.order,
        digest=closed.digest,
        result=closed.result,
        attestations=closed.attestations,
        revealed=closed.revealed,
        cost=closed.cost,
        opened=closed.opened,
        closed=closed.closed,
        is_cancelled=closed.is_cancelled,
    )


def _one_more(count: int) -> int:
    return min(count + 1, _COUNT_MAX)
