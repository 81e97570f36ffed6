"""Session: epochs follow their heights, keys are proved, and the hand-over goes through whoever elects."""

import pytest

from frame.error import InvalidBlock, Rejection
from frame.origin import BadOrigin, Root, Signed
from frame.validators import Candidate, Historical, Validator
from pallets.balances.pallet import InsufficientBalance
from pallets.session.pallet import KEY
from pallets.session.types import BadKeyProof, KeyInUse, KeyNeeded, NoKey, Registration
from primitives.block import GENESIS_PARENT
from primitives.session_key import prove_possession
from primitives.signing import SigningKey
from primitives.types import AccountId, Balance, BlockHash, EpochIndex, PublicKey, Seed, Signature, Stake
from runtime.constants import SESSION
from tests.pallets.world import ALICE, AUTHOR_KEY, BOB, CHARLIE, DAVE, START, World

BOB_KEY = SigningKey(Seed(b"\xb0" * 32))
NEW_KEY = SigningKey(Seed(b"\xb1" * 32))
STRANGER = PublicKey(b"\xb0" * 32)


class Elects:
    """Bob and Alice, then Alice alone. Implements frame.validators.Validators."""

    def __init__(self) -> None:
        self.elections = [
            (Candidate(ALICE, Stake(5)),),
            (Candidate(BOB, Stake(3)), Candidate(ALICE, Stake(5))),
        ]

    def elect(self) -> tuple[Candidate, ...]:
        """The next of them."""
        return self.elections.pop()

    def is_candidate(self, who: AccountId) -> bool:
        """Nobody."""
        return False


class Told:
    """Implements frame.hooks.OnNewEpoch."""

    def __init__(self) -> None:
        self.epochs: list[tuple[EpochIndex, tuple[Validator, ...]]] = []

    def on_new_epoch(self, epoch: EpochIndex, validators: tuple[Validator, ...]) -> None:
        """Remember."""
        self.epochs.append((epoch, validators))


def set_key(world: World, who: AccountId, key: SigningKey) -> None:
    """Register the key of an account, as its owner does."""
    proof = prove_possession(key, GENESIS_PARENT, who)
    world.pallets.session.set_key(Signed(who), key.public_key, proof)


def pass_epoch(world: World) -> None:
    """Go to the first block of the next epoch."""
    epoch = world.pallets.session.committee.get().epoch
    while world.pallets.session.committee.get().epoch == epoch:
        world.finalize()
        world.next_block()


def test_the_elected_are_seated_by_the_last_block_of_an_epoch(world: World) -> None:
    told = Told()
    set_key(world, BOB, BOB_KEY)
    for _ in range(9):
        world.finalize()
        assert world.pallets.session.next_committee is None
        world.next_block()
    session = world.pallets.session
    session.bind(elector=Elects(), on_new_epoch=[told])
    session.on_finalize()
    committee = session.next_committee
    assert committee is not None
    two = (Validator(BOB, BOB_KEY.public_key, Stake(3)), Validator(ALICE, AUTHOR_KEY, Stake(5)))
    assert (committee.epoch, committee.first_height, committee.last_height) == (2, 11, 20)
    assert [(member.key, member.stake) for member in committee.members] == [(v.key, v.stake) for v in two]
    assert told.epochs == [(EpochIndex(2), two)]
    pallets = world.next_block(author=BOB_KEY.public_key)
    assert pallets.session.author() == BOB
    assert pallets.session.acting() == two


def test_the_same_validators_carry_over_if_nothing_changes(world: World) -> None:
    pass_epoch(world)
    assert world.pallets.session.committee.get().epoch == 2
    assert world.pallets.session.acting() == (Validator(ALICE, AUTHOR_KEY, Stake(1)),)


def test_a_stranger_authors_no_block(world: World) -> None:
    with pytest.raises(InvalidBlock) as rejected:
        world.next_block(author=STRANGER)
    assert rejected.value.rejection is Rejection.WRONG_AUTHOR


def test_the_pace_is_that_of_genesis(world: World) -> None:
    assert world.pallets.session.block_time_ms() == 500
    assert world.pallets.session.parameters().epoch_length == 10


def test_a_key_is_registered_for_a_deposit(world: World) -> None:
    set_key(world, BOB, BOB_KEY)
    session, balances = world.pallets.session, world.pallets.balances
    assert session.keys.find(BOB) == Registration(BOB_KEY.public_key, SESSION.key_deposit)
    assert session.key_of(BOB) == BOB_KEY.public_key
    assert session.owners.find(BOB_KEY.public_key) == BOB
    assert balances.held(KEY, BOB) == SESSION.key_deposit
    assert world.free(BOB) == START - SESSION.key_deposit
    assert world.events() == ["Held", "KeySet"]


def test_a_new_key_replaces_the_old_one_and_votes_from_the_next_epoch_on(world: World) -> None:
    set_key(world, ALICE, NEW_KEY)
    session = world.pallets.session
    assert session.acting() == (Validator(ALICE, AUTHOR_KEY, Stake(1)),)
    assert session.author() == ALICE
    assert session.upcoming() == (Validator(ALICE, NEW_KEY.public_key, Stake(1)),)
    assert session.owners.find(AUTHOR_KEY) is None
    for _ in range(9):
        world.finalize()
        world.next_block()
    world.finalize()
    assert world.pallets.session.author() == ALICE
    session = world.next_block(author=NEW_KEY.public_key).session
    assert session.author() == ALICE
    assert session.committee.get().index_of(AUTHOR_KEY) is None


def test_a_freed_key_may_be_registered_by_whoever_has_it(world: World) -> None:
    set_key(world, BOB, BOB_KEY)
    set_key(world, BOB, NEW_KEY)
    set_key(world, CHARLIE, BOB_KEY)
    session = world.pallets.session
    assert (session.key_of(BOB), session.key_of(CHARLIE)) == (NEW_KEY.public_key, BOB_KEY.public_key)
    assert world.pallets.balances.held(KEY, BOB) == SESSION.key_deposit


@pytest.mark.parametrize("who", [BOB, CHARLIE], ids=["by its account", "by another"])
def test_a_key_in_use_is_refused(world: World, who: AccountId) -> None:
    set_key(world, BOB, BOB_KEY)
    before = world.pallets.context.overlay.changes()
    with pytest.raises(KeyInUse):
        set_key(world, who, BOB_KEY)
    assert world.pallets.context.overlay.changes() == before


@pytest.mark.parametrize(
    "proof",
    [
        prove_possession(BOB_KEY, GENESIS_PARENT, CHARLIE),
        prove_possession(BOB_KEY, BlockHash(b"\x01" * 32), BOB),
        prove_possession(NEW_KEY, GENESIS_PARENT, BOB),
        BOB_KEY.sign(GENESIS_PARENT + BOB),
    ],
    ids=["of another account", "on another chain", "by another key", "without the domain"],
)
def test_a_key_without_its_proof_is_refused(world: World, proof: Signature) -> None:
    before = world.pallets.context.overlay.changes()
    with pytest.raises(BadKeyProof):
        world.pallets.session.set_key(Signed(BOB), BOB_KEY.public_key, proof)
    assert world.pallets.context.overlay.changes() == before


def test_a_key_without_its_deposit_is_refused(world: World) -> None:
    with pytest.raises(InsufficientBalance):
        set_key(world, DAVE, BOB_KEY)
    assert world.pallets.session.key_of(DAVE) is None


def test_only_an_account_registers_a_key(world: World) -> None:
    with pytest.raises(BadOrigin):
        world.pallets.session.set_key(
            Root(), BOB_KEY.public_key, prove_possession(BOB_KEY, GENESIS_PARENT, BOB)
        )


def test_a_purged_key_gives_its_deposit_back(world: World) -> None:
    set_key(world, BOB, BOB_KEY)
    world.pallets.session.purge_key(Signed(BOB))
    assert world.free(BOB) == START
    assert world.pallets.session.key_of(BOB) is None
    assert world.pallets.session.owners.find(BOB_KEY.public_key) is None
    assert world.pallets.balances.held(KEY, BOB) == Balance(0)


def test_who_has_no_key_purges_none(world: World) -> None:
    with pytest.raises(NoKey):
        world.pallets.session.purge_key(Signed(BOB))


def test_a_candidate_keeps_its_key(world: World) -> None:
    with pytest.raises(KeyNeeded):
        world.pallets.session.purge_key(Signed(ALICE))
    assert world.pallets.session.key_of(ALICE) == AUTHOR_KEY


def test_the_committee_of_a_running_epoch_is_remembered_with_its_anchor(world: World) -> None:
    session = world.pallets.session
    assert session.historical(EpochIndex(1)) == Historical(
        BlockHash(GENESIS_PARENT), session.committee.get(), (ALICE,)
    )
    assert session.historical(EpochIndex(2)) is None
    pass_epoch(world)
    session = world.pallets.session
    found = session.historical(EpochIndex(2))
    assert found == Historical(BlockHash((11).to_bytes(32, "big")), session.committee.get(), (ALICE,))


def test_the_oldest_committee_is_forgotten(world: World) -> None:
    for _ in range(SESSION.history_epochs):
        pass_epoch(world)
    session = world.pallets.session
    assert session.historical(EpochIndex(1)) is None
    assert session.historical(EpochIndex(2)) is not None
    assert session.historical(EpochIndex(SESSION.history_epochs + 1)) is not None
