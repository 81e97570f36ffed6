"""Session: who votes in which epoch, and how fast the chain goes.

Epoch e covers the heights (e - 1) * L + 1 .. e * L; epoch 0 is the genesis block alone. The last block of an
epoch stores the next committee, which acts from the moment that block is final.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

import msgspec

from frame.call import view
from frame.context import Context
from frame.error import InvalidBlock, Rejection
from frame.hooks import OnNewEpoch
from frame.pallet import Pallet
from frame.storage import StorageValue
from frame.validators import Validator, Validators
from primitives.codec import Record
from primitives.committee import MEMBERS_MAX, Committee, Member
from primitives.types import AccountId, BlockNumber, EpochIndex, SpecVersion

MILLISECONDS_MAX = 3_600_000
EPOCH_LENGTH_MAX = 1_000_000


class Engine(IntEnum):
    """How blocks become final."""

    INSTANT = 0
    """One author, no votes: for development."""

    SIMPLEX = 1


class Consensus(Record, frozen=True):
    """The consensus parameters; they are set at genesis, and only there."""

    engine: Engine
    block_time_ms: Annotated[int, msgspec.Meta(ge=1, le=MILLISECONDS_MAX)]
    """Least time between two blocks."""

    delta_ms: Annotated[int, msgspec.Meta(ge=1, le=MILLISECONDS_MAX)]
    """Longest time that a message is expected to take."""

    epoch_length: Annotated[int, msgspec.Meta(ge=1, le=EPOCH_LENGTH_MAX)]
    """Blocks in an epoch."""


class Genesis(Record, frozen=True):
    """Parameters and the validators of epoch 1."""

    consensus: Consensus
    validators: Annotated[tuple[Validator, ...], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]


class CarryOver:
    """Validators while nothing elects others. Implements frame.validators.Validators."""

    def elect(self, acting: tuple[Validator, ...]) -> tuple[Validator, ...]:
        """The acting ones again."""
        return acting


class Session(Pallet):
    """Implements ActingValidators and Authorship of frame.validators, and frame.clock.Pace."""

    NAME = "session"

    consensus = StorageValue[Consensus](Consensus)
    validators = StorageValue[tuple[Validator, ...]](
        Annotated[tuple[Validator, ...], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]
    )
    """Of the epoch that the next block belongs to, in the order of its committee."""

    committee = StorageValue[Committee](Committee)
    """Of the epoch that the next block belongs to."""

    def __init__(
        self,
        context: Context,
        spec_version: SpecVersion,
        validators: Validators,
        on_new_epoch: Sequence[OnNewEpoch],
    ) -> None:
        """`validators` elects; `on_new_epoch` are told."""
        super().__init__(context)
        self._spec_version = spec_version
        self._elector = validators
        self._on_new_epoch = on_new_epoch
        self.next_committee: Committee | None = None
        """Set by the last block of an epoch."""

    def build_genesis(self, genesis: Genesis) -> None:
        """Seat the committee of epoch 1. Raises ValueError if it is none."""
        self.consensus.put(genesis.consensus)
        self._seat(EpochIndex(1), genesis.validators)

    def on_initialize(self) -> None:
        """Raises InvalidBlock if the block is in another epoch, or its author has no vote in this one."""
        block, committee = self.context.block, self.committee.get()
        if block.epoch != committee.epoch:
            raise InvalidBlock(Rejection.WRONG_EPOCH)
        if committee.index_of(block.author) is None:
            raise InvalidBlock(Rejection.WRONG_AUTHOR)

    def on_finalize(self) -> None:
        """In the last block of an epoch, seat the next committee."""
        committee = self.committee.get()
        if self.context.block.height < committee.last_height:
            return
        elected = self._elector.elect(self.validators.get())
        epoch = EpochIndex(committee.epoch + 1)
        self.next_committee = self._seat(epoch, elected)
        for told in self._on_new_epoch:
            told.on_new_epoch(epoch, elected)

    @view
    def parameters(self) -> Consensus:
        """The consensus parameters."""
        return self.consensus.get()

    @view
    def acting(self) -> tuple[Validator, ...]:
        """The validators of the epoch that the next block belongs to, in the order of its committee."""
        return self.validators.get()

    def author(self) -> AccountId:
        """As in Authorship."""
        key = self.context.block.author
        return next(validator.account for validator in self.validators.get() if validator.key == key)

    def block_time_ms(self) -> int:
        """As in Pace."""
        return self.consensus.get().block_time_ms

    def check_state(self) -> None:
        """Validators and committee are the same people, and the epoch fits its heights."""
        committee, length = self.committee.get(), self.consensus.get().epoch_length
        members = tuple(Member(validator.key, validator.stake) for validator in self.validators.get())
        assert committee.members == members
        assert committee.last_height == committee.epoch * length
        assert committee.first_height == committee.last_height - length + 1

    def _seat(self, epoch: EpochIndex, validators: tuple[Validator, ...]) -> Committee:
        length = self.consensus.get().epoch_length
        committee = Committee(
            epoch=epoch,
            first_height=BlockNumber((epoch - 1) * length + 1),
            last_height=BlockNumber(epoch * length),
            spec_version=self._spec_version,
            members=tuple(Member(validator.key, validator.stake) for validator in validators),
        )
        self.validators.put(validators)
        self.committee.put(committee)
        return committee
