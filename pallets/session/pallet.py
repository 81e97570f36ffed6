"""Session: who votes in which epoch, with which key, and how fast the chain goes.

Epoch e covers the heights (e - 1) * L + 1 .. e * L; epoch 0 is the genesis block alone. The last block of an
epoch stores the next committee, which acts from the moment that block is final. Until then nothing changes:
whoever leaves, or registers another key, votes with the old one to the end of the epoch.

A node asks the views `acting` and `upcoming` for its place in this epoch and, as things stand, in the next;
`key_of` tells which key an account votes with next; `historical` has what evidence of a past epoch is judged
by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from frame.call import call, view
from frame.context import Context
from frame.currency import Currency
from frame.error import InvalidBlock, Rejection, ensure
from frame.hooks import OnNewEpoch
from frame.identity import ChainIdentity
from frame.origin import Origin, ensure_signed
from frame.pallet import Pallet
from frame.storage import StorageMap, StorageValue
from frame.validators import Historical, Validator, Validators
from pallets.session import weights
from pallets.session.types import (
    BadKeyProof,
    Consensus,
    Engine,
    Genesis,
    KeyInUse,
    KeyNeeded,
    KeyPurged,
    KeySet,
    NoKey,
    Registration,
    Seated,
)
from primitives.committee import MEMBERS_MAX, Committee, Member
from primitives.session_key import verify_possession
from primitives.types import (
    U32,
    AccountId,
    Balance,
    BlockNumber,
    EpochIndex,
    PublicKey,
    Signature,
    SpecVersion,
)

KEY: Final = "session.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    spec_version: SpecVersion
    """Of the committees that are seated."""

    key_deposit: Balance
    """Held while a key is registered, which bounds how many there are."""

    history_epochs: U32
    """How many committees are remembered, that of the running epoch included: evidence of older ones is
    refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this pallet needs of others."""

    currency: Currency
    identity: ChainIdentity


class Session(Pallet):
    """Committees, session keys, and the pace of the chain.

    Implements ActingValidators, Authorship, Seats and History of frame.validators, and Pace of frame.clock.
    """

    NAME = "session"
    EVENTS = (KeySet, KeyPurged)
    ERRORS = (KeyInUse, BadKeyProof, NoKey, KeyNeeded)

    consensus = StorageValue[Consensus](Consensus)
    validators = StorageValue[tuple[Validator, ...]](Seated)
    """Of the epoch that the next block belongs to, in the order of its committee."""

    committee = StorageValue[Committee](Committee)
    """Of the epoch that the next block belongs to."""

    keys = StorageMap[AccountId, Registration](AccountId, Registration)
    """The session keys that accounts will vote with when they are next elected."""

    owners = StorageMap[PublicKey, AccountId](PublicKey, AccountId)
    """The same the other way round."""

    history = StorageMap[EpochIndex, Historical](EpochIndex, Historical)
    """The committees of the last epochs, that of the running one included."""

    def __init__(self, context: Context, config: Config, needs: Needs) -> None:
        """`bind` comes next."""
        super().__init__(context)
        self.config = config
        self._needs = needs
        self._elector: Validators | None = None
        self._on_new_epoch: Sequence[OnNewEpoch] = ()
        self._author: AccountId | None = None
        self.next_committee: Committee | None = None
        """Set by the last block of an epoch."""

    def bind(self, elector: Validators, on_new_epoch: Sequence[OnNewEpoch]) -> None:
        """Say who elects, and who is told of a new epoch."""
        self._elector = elector
        self._on_new_epoch = on_new_epoch

    def build_genesis(self, genesis: Genesis) -> None:
        """Register the first keys, and seat the committee of epoch 1. Raises ValueError if it is none."""
        self.consensus.put(genesis.consensus)
        for one in genesis.validators:
            self.keys.put(one.account, Registration(one.key, Balance(0)))
            self.owners.put(one.key, one.account)
        self._seat(EpochIndex(1), genesis.validators)

    def restart(self, validators: tuple[Validator, ...]) -> None:
        """Begin again at epoch 1 with other validators, whose keys take the place of those they had.

        The keys of everybody else stay registered. Raises KeyInUse if one of them is to vote for another.
        """
        for epoch in [epoch for epoch, _ in self.history.items()]:
            self.history.remove(epoch)
        old = {one.account: self.keys.find(one.account) for one in validators}
        for registration in old.values():
            if registration is not None:
                self.owners.remove(registration.key)
        for one in validators:
            ensure(self.owners.find(one.key) is None, KeyInUse)
            registration = old[one.account]
            deposit = Balance(0) if registration is None else registration.deposit
            self.keys.put(one.account, Registration(one.key, deposit))
            self.owners.put(one.key, one.account)
        self._seat(EpochIndex(1), validators)

    def on_initialize(self) -> None:
        """Remember a committee whose epoch begins.

        Raises InvalidBlock if the block is in another epoch, or its author has no vote in this one.
        """
        block, committee = self.context.block, self.committee.get()
        if block.epoch != committee.epoch:
            raise InvalidBlock(Rejection.WRONG_EPOCH)
        index = committee.index_of(block.author)
        if index is None:
            raise InvalidBlock(Rejection.WRONG_AUTHOR)
        self._author = self.validators.get()[index].account
        if block.height == committee.first_height:
            accounts = tuple(validator.account for validator in self.validators.get())
            self.history.put(committee.epoch, Historical(block.parent, committee, accounts))
            if committee.epoch > self.config.history_epochs:
                self.history.remove(EpochIndex(committee.epoch - self.config.history_epochs))

    def on_finalize(self) -> None:
        """In the last block of an epoch, seat the next committee."""
        committee = self.committee.get()
        if self.context.block.height < committee.last_height:
            return
        elected = self.upcoming()
        epoch = EpochIndex(committee.epoch + 1)
        self.next_committee = self._seat(epoch, elected)
        for told in self._on_new_epoch:
            told.on_new_epoch(epoch, elected)

    @call(index=0, weight=weights.SET_KEY)
    def set_key(self, origin: Origin, key: PublicKey, proof: Signature) -> None:
        """Register the session key that votes for the signer from the next epoch on. Origin: Signed.

        `key`: of a node; an earlier key of the signer is replaced.
        `proof`: the key's signature for this account, as the node that has it gives it out.
        """
        who = ensure_signed(origin)
        ensure(self.owners.find(key) is None, KeyInUse)
        genesis = self._needs.identity.genesis()
        ensure(verify_possession(key, genesis, who, proof, self.context.verify), BadKeyProof)
        old = self.keys.find(who)
        if old is None:
            deposit = self.config.key_deposit
            self._needs.currency.hold(KEY, who, deposit)
        else:
            deposit = old.deposit
            self.owners.remove(old.key)
        self.keys.put(who, Registration(key, deposit))
        self.owners.put(key, who)
        self.deposit(KeySet(who, key))

    @call(index=1, weight=weights.PURGE_KEY)
    def purge_key(self, origin: Origin) -> None:
        """Forget the signer's session key, and give its deposit back. Origin: Signed, by no candidate."""
        who = ensure_signed(origin)
        old = self.keys.find(who)
        if old is None:
            raise NoKey
        assert self._elector is not None
        ensure(not self._elector.is_candidate(who), KeyNeeded)
        if old.deposit:
            self._needs.currency.release(KEY, who, old.deposit)
        self.keys.remove(who)
        self.owners.remove(old.key)
        self.deposit(KeyPurged(who, old.key))

    @view
    def parameters(self) -> Consensus:
        """The consensus parameters."""
        return self.consensus.get()

    @view
    def acting(self) -> tuple[Validator, ...]:
        """The validators of the epoch that the next block belongs to, in the order of its committee."""
        return self.validators.get()

    @view
    def upcoming(self) -> tuple[Validator, ...]:
        """The validators of the epoch after it, if nothing changes until then."""
        assert self._elector is not None
        return tuple(
            Validator(one.account, self.keys.get(one.account).key, one.stake) for one in self._elector.elect()
        )

    @view
    def key_of(self, who: AccountId) -> PublicKey | None:
        """The session key that an account has registered.

        `who`: the account.
        """
        registration = self.keys.find(who)
        return None if registration is None else registration.key

    @view
    def historical(self, epoch: EpochIndex) -> Historical | None:
        """The committee of an epoch that has begun and is not too long ago, and the anchor of its votes.

        `epoch`: its index.
        """
        return self.history.find(epoch)

    def author(self) -> AccountId:
        """As in Authorship; the same all through the last block of an epoch, whoever is seated by it."""
        assert self._author is not None
        return self._author

    def block_time_ms(self) -> int:
        """As in Pace."""
        return self.consensus.get().block_time_ms

    def has_key(self, who: AccountId) -> bool:
        """As in Seats."""
        return self.keys.find(who) is not None

    def seats_max(self) -> int:
        """As in Seats: the instant engine has one author, who votes alone."""
        return 1 if self.consensus.get().engine is Engine.INSTANT else MEMBERS_MAX

    def check_state(self) -> None:
        """Validators and committee are the same people, and so are those remembered; the epoch fits its
        heights; keys are distinct, and their deposits held."""
        committee, length = self.committee.get(), self.consensus.get().epoch_length
        members = tuple(Member(validator.key, validator.stake) for validator in self.validators.get())
        assert committee.members == members
        assert committee.last_height == committee.epoch * length
        assert committee.first_height == committee.last_height - length + 1
        keys = dict(self.keys.items())
        assert {one.key: who for who, one in keys.items()} == dict(self.owners.items())
        assert len(keys) == sum(1 for _ in self.owners.items())
        assert all(self._needs.currency.held(KEY, who) == one.deposit for who, one in keys.items())
        self._check_history(committee)

    def _check_history(self, committee: Committee) -> None:
        """The newest committee is that of the running epoch, or of the one that just ended."""
        history = dict(self.history.items())
        newest = EpochIndex(max(history, default=committee.epoch - 1))
        assert newest in (committee.epoch, committee.epoch - 1)
        oldest = max(1, newest - self.config.history_epochs + 1)
        assert sorted(history) == list(range(oldest, newest + 1))
        for epoch, past in history.items():
            assert past.committee.epoch == epoch
            assert len(past.accounts) == len({*past.accounts}) == len(past.committee.members)
        if newest == committee.epoch:
            accounts = tuple(validator.account for validator in self.validators.get())
            assert (history[newest].committee, history[newest].accounts) == (committee, accounts)

    def _seat(self, epoch: EpochIndex, validators: tuple[Validator, ...]) -> Committee:
        length = self.consensus.get().epoch_length
        committee = Committee(
            epoch=epoch,
            first_height=BlockNumber((epoch - 1) * length + 1),
            last_height=BlockNumber(epoch * length),
            spec_version=self.config.spec_version,
            members=tuple(Member(validator.key, validator.stake) for validator in validators),
        )
        self.validators.put(validators)
        self.committee.put(committee)
        return committee
