"""Any calls of session, validators, sudo and offences, over epochs, leave a chain that can go on."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from frame.error import DispatchError
from frame.origin import Nobody, Root, Signed
from frame.validators import Validator
from pallets.session.pallet import KEY
from primitives.block import GENESIS_PARENT
from primitives.committee import Committee, Member
from primitives.extrinsic import Call
from primitives.offence import verify_offence
from primitives.session_key import prove_possession
from primitives.signing import SigningKey
from primitives.types import U63_MAX, AccountId, EpochIndex, Seed, Signature, Stake
from primitives.vote import VoteKind
from tests.pallets.test_sudo import call
from tests.pallets.world import ALICE, BOB, CHARLIE, DAVE, PEOPLE, World
from tests.runtime.equivocation import double_vote

KEYS = [SigningKey(Seed(bytes([50 + index]) * 32)) for index in range(6)]
BY_PUBLIC_KEY = {key.public_key: key for key in KEYS}
FIRST = (Validator(ALICE, KEYS[0].public_key, Stake(5)), Validator(BOB, KEYS[1].public_key, Stake(3)))

WHO = st.sampled_from([ALICE, BOB, CHARLIE, DAVE])
ORIGINS = st.one_of(st.just(Root()), st.just(Root()), WHO.map(Signed), st.just(Nobody()))
STAKES = st.one_of(st.integers(0, 9), st.sampled_from([U63_MAX, U63_MAX - 4])).map(Stake)
WHICH = st.integers(0, len(KEYS) - 1)
CALLS = st.one_of(
    st.tuples(WHO, STAKES).map(lambda pair: call(8, 0, *pair)),
    WHO.map(lambda who: call(8, 1, who)),
    st.tuples(WHO, STAKES).map(lambda pair: call(8, 2, *pair)),
    st.just(call(4, 1)),
)


class Sequences(RuleBasedStateMachine):
    """Two validators to begin with, and two people who would like to be."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(FIRST)
        self.reported = 0

    def attempt(self, method: Any, *arguments: Any) -> bool:
        """Whether it was done; a refusal must leave no trace."""
        before = self.world.pallets.context.overlay.changes()
        try:
            method(*arguments)
        except DispatchError:
            assert self.world.pallets.context.overlay.changes() == before
            return False
        return True

    @rule(who=WHO, which=WHICH, proved=st.sampled_from([True, True, True, False]))
    def set_key(self, who: AccountId, which: int, proved: bool) -> None:
        key = KEYS[which]
        proof = prove_possession(key, GENESIS_PARENT, who if proved else PEOPLE[-1])
        is_free = self.world.pallets.session.owners.find(key.public_key) is None
        can_pay = who != DAVE or self.world.pallets.session.has_key(who)
        done = self.attempt(self.world.pallets.session.set_key, Signed(who), key.public_key, proof)
        assert done == (proved and is_free and can_pay)

    @rule(who=WHO)
    def purge_key(self, who: AccountId) -> None:
        pallets = self.world.pallets
        may = pallets.session.has_key(who) and not pallets.validators.is_candidate(who)
        assert self.attempt(pallets.session.purge_key, Signed(who)) == may
        assert not may or pallets.balances.held(KEY, who) == 0

    @rule(origin=ORIGINS, who=WHO, stake=STAKES)
    def add(self, origin: Any, who: AccountId, stake: Stake) -> None:
        self.attempt(self.world.pallets.validators.add, origin, who, stake)

    @rule(origin=ORIGINS, who=WHO)
    def remove(self, origin: Any, who: AccountId) -> None:
        self.attempt(self.world.pallets.validators.remove, origin, who)

    @rule(origin=ORIGINS, who=WHO, stake=STAKES)
    def set_stake(self, origin: Any, who: AccountId, stake: Stake) -> None:
        self.attempt(self.world.pallets.validators.set_stake, origin, who, stake)

    @rule(origin=ORIGINS, inner=CALLS, around=st.integers(0, 1))
    def sudo(self, origin: Any, inner: Call, around: int) -> None:
        sudo = self.world.pallets.sudo
        done = self.attempt(sudo.sudo, origin, call(9, 0, inner) if around else inner)
        assert not done or (origin == Signed(sudo.account() or PEOPLE[-1]) and not around)

    @rule(origin=ORIGINS, new=WHO)
    def hand_over(self, origin: Any, new: AccountId) -> None:
        sudo = self.world.pallets.sudo
        old = sudo.account()
        assert self.attempt(sudo.set_key, origin, new) == (origin == Signed(old or PEOPLE[-1]))

    @rule(
        back=st.integers(-1, 3),
        signer=st.integers(0, 2),
        kind=st.sampled_from([VoteKind.NOTARIZE, VoteKind.FINALIZE]),
        forged=st.sampled_from([False, False, True]),
        origin=st.sampled_from([Nobody(), Nobody(), Nobody(), Root()]),
    )
    def report(self, back: int, signer: int, kind: VoteKind, forged: bool, origin: Any) -> None:
        pallets = self.world.pallets
        epoch = EpochIndex(max(0, pallets.session.committee.get().epoch - back))
        past = pallets.session.historical(epoch)
        known = past is not None and signer < len(past.committee.members)
        key, anchor = KEYS[0], GENESIS_PARENT
        if known:
            assert past is not None
            key, anchor = BY_PUBLIC_KEY[past.committee.members[signer].key], past.anchor
        evidence = double_vote(key, anchor, kind, signer=signer, epoch=epoch)
        if forged:
            evidence = replace(evidence, first=replace(evidence.first, signature=Signature(bytes(64))))
        wanted = pallets.offences.wants(evidence)
        done = self.attempt(pallets.offences.report, origin, evidence)
        assert done == (wanted and not forged and origin == Nobody())
        self.reported += done

    @rule(blocks=st.sampled_from([1, 1, 3, 10, 10, 30]))
    def pass_blocks(self, blocks: int) -> None:
        for _ in range(blocks):
            acting = self.world.pallets.session.acting()
            self.world.finalize()
            seated = self.world.pallets.session.acting()
            assert seated == acting or self.world.height % 10 == 0
            self.world.next_block(author=seated[-1].key)

    @invariant()
    def every_invariant_holds(self) -> None:
        self.world.check_state()

    @invariant()
    def the_next_committee_can_be_seated(self) -> None:
        session = self.world.pallets.session
        members = tuple(Member(one.key, one.stake) for one in session.upcoming())
        now = session.committee.get()
        Committee(now.epoch, now.first_height, now.last_height, now.spec_version, members)

    @invariant()
    def every_record_convicts(self) -> None:
        records = dict(self.world.pallets.offences.records.items())
        assert len(records) == self.reported
        assert all(verify_offence(record) for record in records.values())


Sequences.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestSequences = Sequences.TestCase
