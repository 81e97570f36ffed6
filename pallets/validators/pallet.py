"""Validators: the set of those who are to validate, kept by root.

What root changes here holds from the next epoch on. Every state of the set is a committee: `session` seats it
as it stands, in its order.
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec.structs import replace

from frame.call import call, view
from frame.context import Context
from frame.error import DispatchError, ensure
from frame.event import Event
from frame.origin import Origin, ensure_root
from frame.pallet import Pallet
from frame.storage import StorageValue
from frame.validators import Candidate, Seats
from pallets.validators import weights
from primitives.committee import MEMBERS_MAX
from primitives.types import U63_MAX, AccountId, Stake

Candidates = Annotated[tuple[Candidate, ...], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this pallet needs of others."""

    seats: Seats


class ValidatorAdded(Event, frozen=True):
    """An account votes from the next epoch on."""

    account: AccountId
    stake: Stake


class ValidatorRemoved(Event, frozen=True):
    """An account votes to the end of this epoch."""

    account: AccountId


class StakeChanged(Event, frozen=True):
    """A vote has another weight, from the next epoch on."""

    account: AccountId
    stake: Stake


class AlreadyValidator(DispatchError):
    """The account is in the set. Change its stake instead."""


class NotValidator(DispatchError):
    """The account is not in the set."""


class NoSessionKey(DispatchError):
    """The account has registered no session key. It has to call session.set_key first."""


class TooManyValidators(DispatchError):
    """The set has as many members as a committee may have; on the instant engine, that is one."""


class LastValidator(DispatchError):
    """Nobody else is in the set, and a chain cannot go on without validators."""


class NoStake(DispatchError):
    """A stake of nothing is no vote."""


class TooMuchStake(DispatchError):
    """The total stake would be larger than a committee can count."""


class Validators(Pallet):
    """Who is to validate, as root decides. Implements frame.validators.Validators."""

    NAME = "validators"
    EVENTS = (ValidatorAdded, ValidatorRemoved, StakeChanged)
    ERRORS = (
        AlreadyValidator,
        NotValidator,
        NoSessionKey,
        TooManyValidators,
        LastValidator,
        NoStake,
        TooMuchStake,
    )

    candidates = StorageValue[tuple[Candidate, ...]](Candidates)
    """In the order of the committee: in which they came."""

    def __init__(self, context: Context, needs: Needs) -> None:
        """`needs.seats` asks this pallet whom to seat."""
        super().__init__(context)
        self._needs = needs

    def build_genesis(self, candidates: tuple[Candidate, ...]) -> None:
        """The validators of the chain specification."""
        self.candidates.put(candidates)

    @call(index=0, weight=weights.CHANGE)
    def add(self, origin: Origin, account: AccountId, stake: Stake) -> None:
        """Have an account validate from the next epoch on. Origin: Root.

        `account`: it has registered a session key.
        `stake`: the weight of its vote, at least 1.
        """
        ensure_root(origin)
        ensure(not self.is_candidate(account), AlreadyValidator)
        ensure(self._needs.seats.has_key(account), NoSessionKey)
        candidates = self.candidates.get()
        ensure(len(candidates) < self._needs.seats.seats_max(), TooManyValidators)
        self._put((*candidates, Candidate(account, stake)))
        self.deposit(ValidatorAdded(account, stake))

    @call(index=1, weight=weights.CHANGE)
    def remove(self, origin: Origin, account: AccountId) -> None:
        """Have an account validate no more after this epoch. Origin: Root.

        `account`: a validator, and not the only one.
        """
        ensure_root(origin)
        ensure(self.is_candidate(account), NotValidator)
        left = tuple(one for one in self.candidates.get() if one.account != account)
        ensure(bool(left), LastValidator)
        self._put(left)
        self.deposit(ValidatorRemoved(account))

    @call(index=2, weight=weights.CHANGE)
    def set_stake(self, origin: Origin, account: AccountId, stake: Stake) -> None:
        """Give a validator's vote another weight from the next epoch on. Origin: Root.

        `account`: a validator.
        `stake`: the weight of its vote, at least 1.
        """
        ensure_root(origin)
        ensure(self.is_candidate(account), NotValidator)
        changed = (
            replace(one, stake=stake) if one.account == account else one for one in self.candidates.get()
        )
        self._put(tuple(changed))
        self.deposit(StakeChanged(account, stake))

    @view
    def elect(self) -> tuple[Candidate, ...]:
        """The set, in the order of the next committee."""
        return self.candidates.get()

    def is_candidate(self, who: AccountId) -> bool:
        """As in frame.validators.Validators."""
        return any(one.account == who for one in self.candidates.get())

    def check_state(self) -> None:
        """The set can be seated as it stands."""
        candidates = self.candidates.get()
        assert 1 <= len(candidates) <= self._needs.seats.seats_max()
        assert len({one.account for one in candidates}) == len(candidates)
        assert all(self._needs.seats.has_key(one.account) and one.stake > 0 for one in candidates)
        assert sum(one.stake for one in candidates) <= U63_MAX

    def _put(self, candidates: tuple[Candidate, ...]) -> None:
        """Keep a set in which accounts are distinct. Raises NoStake or TooMuchStake."""
        ensure(all(one.stake > 0 for one in candidates), NoStake)
        ensure(sum(one.stake for one in candidates) <= U63_MAX, TooMuchStake)
        self.candidates.put(candidates)
