"""Jobs: work that validators do outside of blocks and attest inside.

The panel of a job is every validator of the epoch in which it was opened. Each is a seat that counts as much
as its stake, which is what seats drawn by stake come to when everybody has one. A seat commits to its result
or abstains. When all have spoken, or at a height, commitments close, and only then are reveals taken, until
every commitment is opened or to another height. More than two thirds of the panel's stake behind one result
is a quorum.

The place of a job is paid for when it is opened, and that is never given back: who opens jobs that come to
nothing pays for keeping others out. The reward is held from the payer. Of a quorum, the seats that agreed get
their part of it by stake, and the rest, with the parts of those who did not, goes to the treasury. Without
one, whoever revealed is paid for the work, and the rest is refunded; unless a third of the stake or more
could not open an input that the payer was to give: then the payer pays it all, and who said so is paid too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from frame.call import inherent, view
from frame.clock import Pace
from frame.context import Context
from frame.currency import Currency
from frame.error import ensure
from frame.gas import GasPrice
from frame.identity import ChainIdentity
from frame.jobs import Closed, OnJobClosed, Order
from frame.origin import Origin, ensure_none
from frame.pallet import Pallet
from frame.storage import StorageDoubleMap, StorageMap, StorageValue
from frame.validators import ActingValidators, Validator
from frame.weight import Weight
from pallets.jobs import weights
from pallets.jobs.outcome import Shares, agreed, attest, revealed, share
from pallets.jobs.types import (
    Abstained,
    AlreadySaid,
    BadSignature,
    CommitsClosed,
    Committed,
    Job,
    JobClosed,
    NoSeat,
    NoSuchJob,
    NothingCommitted,
    NothingToOpen,
    Opened,
    Revealed,
    TooManyInputBytes,
    TooManyJobs,
    TooManyMessages,
    TooMuchGas,
    Word,
    WrongPhase,
    WrongResult,
    WrongReveal,
)
from primitives.codec import Codec
from primitives.committee import MEMBERS_MAX
from primitives.hashing import blake2b_256, domain
from primitives.job_message import (
    Abstain,
    Commit,
    JobMessage,
    JobPhase,
    Result,
    Reveal,
    commitment_of,
    result_digest,
    verify_job_message,
)
from primitives.types import (
    U16,
    U32,
    U63,
    AccountId,
    AuthorityIndex,
    Balance,
    BlockNumber,
    Hash,
)

REWARD: Final = "jobs.reward"
LEADER_CYCLES: Final = 2
"""Every validator leads once in each cycle, so that no leader can keep a message out of all of a window."""

_PS_PER_MS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    open_max: U16
    """Most open jobs: each is looked at in every block."""

    open_gas_max: U63
    """Most gas of all open jobs together: a validator works on one after the other."""

    open_bytes_max: U63
    """Most bytes of the inputs of all open jobs together, which every validator fetches and keeps."""

    gas_time_ps: U32
    """Reference time of a unit of gas."""

    time_margin: U32
    """How many times slower than the reference a validator may be."""

    grace_ms: U32
    """Time to fetch a model and start a worker, before any work."""

    reveal_ms: U32
    """Time for the block that closed the commitments to become final, and for reveals to travel."""

    treasury_share: U32
    """Part of the reward, in parts per billion, that the treasury gets of a quorum."""

    treasury: AccountId
    messages_max: U32
    """Most messages in a block: each costs a signature."""

    result_bytes_max: U32
    """Most bytes of results in a block, so that transactions always find room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this pallet needs of others."""

    currency: Currency
    gas: GasPrice
    validators: ActingValidators
    pace: Pace
    identity: ChainIdentity


def _reveal_weight(message: Reveal, result: bytes | None) -> Weight:
    return weights.MESSAGE + weights.RESULT_BYTE.times(len(result or b""))


class Jobs(Pallet):
    """Implements frame.jobs.Jobs."""

    NAME = "jobs"
    EVENTS = (Opened, Committed, Abstained, CommitsClosed, Revealed, JobClosed)
    ERRORS = (
        TooManyJobs,
        TooMuchGas,
        NoSuchJob,
        WrongPhase,
        NoSeat,
        AlreadySaid,
        NothingToOpen,
        NothingCommitted,
        BadSignature,
        WrongReveal,
        WrongResult,
        TooManyMessages,
        TooManyInputBytes,
    )

    count = StorageValue[int](U63, default=0)
    """Jobs ever opened."""

    open_gas = StorageValue[int](U63, default=0)
    open_bytes = StorageValue[int](U63, default=0)
    jobs = StorageMap[Hash, Job](Hash, Job)
    """Those that are open."""

    panels = StorageMap[Hash, tuple[Validator, ...]](
        Hash, Annotated[tuple[Validator, ...], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]
    )
    """Of open jobs, as they were when each was opened: it may outlive the epoch."""

    words = StorageDoubleMap[Hash, AuthorityIndex, Word](Hash, AuthorityIndex, Word)
    """By open job and position in its panel."""

    results = StorageDoubleMap[Hash, Hash, bytes](Hash, Hash, Result)
    """By open job and digest; the first reveal of a digest brings its result."""

    def __init__(self, context: Context, config: Config, needs: Needs) -> None:
        """`bind` comes next."""
        super().__init__(context)
        self.config = config
        self._needs = needs
        self._on_closed: OnJobClosed | None = None
        self._messages = 0
        self._result_bytes = 0

    def bind(self, on_closed: OnJobClosed) -> None:
        """Say who is told of the end of jobs."""
        self._on_closed = on_closed

    @inherent(index=0, weight=weights.MESSAGE)
    def commit(self, origin: Origin, message: Commit) -> None:
        """Take a commitment.

        `message`: signed by a seat of an open job that waits for commitments.
        """
        ensure_none(origin)
        job, index, seat = self._expected(message.job, message.validator, JobPhase.COMMIT)
        ensure(self.words.find(message.job, index) is None, AlreadySaid)
        self._admit(message, 0)
        self.words.put(message.job, index, Word(message.commitment, None, cannot_open=False))
        self.jobs.put(message.job, replace(job, commits=job.commits + 1))
        self.deposit(Committed(message.job, seat.account))

    @inherent(index=1, weight=weights.MESSAGE)
    def abstain(self, origin: Origin, message: Abstain) -> None:
        """Take an abstention.

        `message`: signed by a seat of an open job that waits for commitments.
        """
        ensure_none(origin)
        job, index, seat = self._expected(message.job, message.validator, JobPhase.COMMIT)
        ensure(self.words.find(message.job, index) is None, AlreadySaid)
        ensure(job.is_input_given or not message.cannot_open, NothingToOpen)
        self._admit(message, 0)
        self.words.put(message.job, index, Word(None, None, cannot_open=message.cannot_open))
        self.jobs.put(message.job, replace(job, abstentions=job.abstentions + 1))
        self.deposit(Abstained(message.job, seat.account))

    @inherent(index=2, weight=_reveal_weight)
    def reveal(self, origin: Origin, message: Reveal, result: Result | None) -> None:
        """Take a reveal.

        `message`: signed by a seat that committed to this digest.
        `result`: what has the digest, in the first reveal of it; nothing in later ones.
        """
        ensure_none(origin)
        job, index, seat = self._expected(message.job, message.validator, JobPhase.REVEAL)
        word = self.words.find(message.job, index)
        if word is None or word.commitment is None:
            raise NothingCommitted
        ensure(word.digest is None, AlreadySaid)
        is_first = self.results.find(message.job, message.digest) is None
        ensure(is_first == (result is not None), WrongResult)
        ensure(result is None or result_digest(result) == message.digest, WrongResult)
        genesis = self._needs.identity.genesis()
        opened = commitment_of(genesis, message.job, message.validator, message.digest, message.salt)
        ensure(opened == word.commitment, WrongReveal)
        self._admit(message, len(result or b""))
        if result is not None:
            self.results.put(message.job, message.digest, result)
        self.words.put(message.job, index, Word(word.commitment, message.digest, cannot_open=False))
        self.jobs.put(message.job, replace(job, reveals=job.reveals + 1))
        self.deposit(Revealed(message.job, seat.account, message.digest))

    @view
    def get(self, job: Hash) -> Job | None:
        """An open job: its phase, and how many seats have spoken.

        `job`: its identity.
        """
        return self.jobs.find(job)

    @view
    def reward(self, gas: U63) -> Balance:
        """What is held for a job.

        `gas`: the work of one seat.
        """
        return self.quote(gas)

    def quote(self, gas: U63) -> Balance:
        """As in frame.jobs.Jobs."""
        return self._needs.gas.price_of(gas)

    def slot_fee(self, input_bytes: int) -> Balance:
        """As in frame.jobs.Jobs."""
        return self._needs.gas.slot_fee(input_bytes)

    def is_open(self, job: Hash) -> bool:
        """As in frame.jobs.Jobs."""
        return self.jobs.find(job) is not None

    def open(self, order: Order) -> Hash:
        """As in frame.jobs.Jobs. Raises TooManyJobs, TooMuchGas, TooManyInputBytes, or as Currency does."""
        ensure(sum(1 for _ in self.jobs.items()) < self.config.open_max, TooManyJobs)
        open_gas = self.open_gas.get() + order.gas
        ensure(open_gas <= self.config.open_gas_max, TooMuchGas)
        open_bytes = self.open_bytes.get() + order.input_bytes
        ensure(open_bytes <= self.config.open_bytes_max, TooManyInputBytes)
        reward, slot_fee = self.quote(order.gas), self.slot_fee(order.input_bytes)
        self._needs.currency.hold(REWARD, order.payer, Balance(reward + slot_fee))
        self._needs.currency.move_held(REWARD, order.payer, self.config.treasury, slot_fee)
        panel, height = self._needs.validators.acting(), self.context.block.height
        count = self.count.get() + 1
        job = Job(
            kind=order.kind,
            inputs=order.inputs,
            gas=order.gas,
            payer=order.payer,
            reward=reward,
            slot_fee=slot_fee,
            input_bytes=order.input_bytes,
            is_input_given=order.is_input_given,
            seats=len(panel),
            opened=height,
            phase=JobPhase.COMMIT,
            closes=self._closes(self.config.grace_ms + self._work_ms(open_gas), len(panel)),
            commits=0,
            abstentions=0,
            reveals=0,
        )
        id_ = blake2b_256(
            _JOB_DOMAIN + self._needs.identity.genesis() + count.to_bytes(8, "big") + _JOB.encode(job)
        )
        self.count.put(count)
        self.open_gas.put(open_gas)
        self.open_bytes.put(open_bytes)
        self.jobs.put(id_, job)
        self.panels.put(id_, panel)
        self.deposit(Opened(id_, job.kind, job.gas, reward, job.closes))
        return id_

    def on_finalize(self) -> None:
        """Close what is complete or due: commitments, then jobs."""
        height = self.context.block.height
        for id_, job in list(self.jobs.items()):
            if job.phase is JobPhase.COMMIT:
                is_complete = job.commits + job.abstentions == job.seats
                if is_complete or height >= job.closes:
                    self._end_commits(id_, job)
            elif job.reveals == job.commits or height >= job.closes:
                self._close(id_, job)

    def cancel_all(self) -> None:
        """Close every open job without a quorum, and give each payer the whole reward back."""
        for id_, job in list(self.jobs.items()):
            self._close(id_, job, is_cancelled=True)

    def check_state(self) -> None:
        """Panels, words and results belong to open jobs, and every count and sum agrees with them."""
        jobs = dict(self.jobs.items())
        assert len(jobs) <= min(self.config.open_max, self.count.get())
        assert self.open_gas.get() == sum(job.gas for job in jobs.values()) <= self.config.open_gas_max
        open_bytes = sum(job.input_bytes for job in jobs.values())
        assert self.open_bytes.get() == open_bytes <= self.config.open_bytes_max
        assert [id_ for id_, _ in self.panels.items()] == list(jobs)
        for id_, job in jobs.items():
            assert len(self.panels.get(id_)) == job.seats
            assert self.context.block.height <= job.closes
            words = dict(self.words.under(id_))
            assert all(index < job.seats for index in words)
            assert job.commits == sum(1 for word in words.values() if word.commitment is not None)
            assert job.abstentions == sum(1 for word in words.values() if word.commitment is None)
            digests = [word.digest for word in words.values() if word.digest is not None]
            assert job.reveals == len(digests)
            assert job.phase is JobPhase.REVEAL or not digests
            assert [digest for digest, _ in self.results.under(id_)] == sorted({*digests})
        for (id_, digest), result in self.results.items():
            assert id_ in jobs
            assert result_digest(result) == digest
        assert all(id_ in jobs for (id_, _), _ in self.words.items())
        for payer in sorted({job.payer for job in jobs.values()}):
            rewards = sum(job.reward for job in jobs.values() if job.payer == payer)
            assert self._needs.currency.held(REWARD, payer) == rewards

    def _expected(self, id_: Hash, key: bytes, phase: JobPhase) -> tuple[Job, AuthorityIndex, Validator]:
        """The job that a message of `phase` is about, and the seat that speaks."""
        job = self.jobs.find(id_)
        if job is None:
            raise NoSuchJob
        ensure(job.phase is phase, WrongPhase)
        for index, seat in enumerate(self.panels.get(id_)):
            if seat.key == key:
                return job, AuthorityIndex(index), seat
        raise NoSeat

    def _admit(self, message: JobMessage, result_bytes: int) -> None:
        """The last checks of every message: room in the block, and the signature."""
        genesis = self._needs.identity.genesis()
        ensure(self._messages < self.config.messages_max, TooManyMessages)
        ensure(self._result_bytes + result_bytes <= self.config.result_bytes_max, TooManyMessages)
        ensure(verify_job_message(genesis, message, self.context.verify), BadSignature)
        self._messages += 1
        self._result_bytes += result_bytes

    def _work_ms(self, gas: int) -> int:
        return gas * self.config.gas_time_ps * self.config.time_margin // _PS_PER_MS

    def _closes(self, time_ms: int, seats: int) -> BlockNumber:
        """A height that is at least `time_ms` and two leader cycles away: blocks never come faster."""
        blocks = -(-time_ms // self._needs.pace.block_time_ms())
        return BlockNumber(self.context.block.height + blocks + LEADER_CYCLES * seats)

    def _end_commits(self, id_: Hash, job: Job) -> None:
        closes = self._closes(self.config.reveal_ms, job.seats)
        self.deposit(CommitsClosed(id_, job.commits, closes))
        if job.commits:
            self.jobs.put(id_, replace(job, phase=JobPhase.REVEAL, closes=closes))
        else:
            self._close(id_, job)

    def _close(self, id_: Hash, job: Job, *, is_cancelled: bool = False) -> None:
        """Count, pay, forget, tell; of a job that is cancelled, nobody is paid."""
        panel, words = self.panels.get(id_), dict(self.words.under(id_))
        digest = None if is_cancelled else agreed(panel, words)
        result = None if digest is None else self.results.get(id_, digest)
        attestations = attest(panel, words, digest)
        earners = () if is_cancelled else attestations
        paid = self._pay(job, share(job.reward, earners, self.config.treasury_share, digest is not None))
        self._forget(id_, job, words)
        self.deposit(JobClosed(id_, digest))
        order = Order(
            kind=job.kind,
            inputs=job.inputs,
            gas=job.gas,
            payer=job.payer,
            input_bytes=job.input_bytes,
            is_input_given=job.is_input_given,
        )
        closed = Closed(
            job=id_,
            order=order,
            digest=digest,
            result=result,
            attestations=attestations,
            revealed=() if is_cancelled else revealed(panel, words),
            cost=Balance(job.slot_fee + paid),
            opened=job.opened,
            closed=self.context.block.height,
            is_cancelled=is_cancelled,
        )
        assert self._on_closed is not None
        self._on_closed.on_job_closed(closed)

    def _pay(self, job: Job, shares: Shares) -> Balance:
        """Give out the reward; what was not refunded."""
        currency = self._needs.currency
        for account, amount in shares.earned:
            currency.move_held(REWARD, job.payer, account, amount)
        if shares.treasury:
            currency.move_held(REWARD, job.payer, self.config.treasury, shares.treasury)
        if shares.refund:
            currency.release(REWARD, job.payer, shares.refund)
        return Balance(job.reward - shares.refund)

    def _forget(self, id_: Hash, job: Job, words: Mapping[AuthorityIndex, Word]) -> None:
        """Leave nothing of a closed job behind."""
        for index in words:
            self.words.remove(id_, index)
        for digest, _ in list(self.results.under(id_)):
            self.results.remove(id_, digest)
        self.panels.remove(id_)
        self.jobs.remove(id_)
        self.open_gas.put(self.open_gas.get() - job.gas)
        self.open_bytes.put(self.open_bytes.get() - job.input_bytes)


_JOB: Final = Codec[Job](Job)
_JOB_DOMAIN: Final = domain("job/1")
