"""Jobs that outlive the committee of their panel."""

import pytest

from frame.jobs import Conduct
from frame.origin import Nobody, Root
from pallets.jobs.types import NoSeat
from primitives.job_message import JobPhase, commitment_of, result_digest, sign_commit
from primitives.signing import SigningKey
from primitives.types import Hash, Seed, Stake
from tests.pallets.attested import GENESIS, KEYS, SEATS, VERDICT, Attested
from tests.pallets.test_session import pass_epoch, set_key
from tests.pallets.world import BOB

NEW_KEY = SigningKey(Seed(b"\x4e" * 32))
BOB_KEY = SigningKey(Seed(b"\xb0" * 32))


@pytest.fixture
def world() -> Attested:
    return Attested()


def change_committee(world: Attested) -> None:
    """Seat 3 leaves, seat 1 has another key, seat 2 another stake, Bob joins; the next epoch begins."""
    validators = world.pallets.validators
    set_key(world, SEATS[1], NEW_KEY)
    set_key(world, BOB, BOB_KEY)
    validators.remove(Root(), SEATS[3])
    validators.set_stake(Root(), SEATS[2], Stake(50))
    validators.add(Root(), BOB, Stake(7))
    pass_epoch(world)
    world.check_state()


def commit_by(world: Attested, key: SigningKey, job: Hash) -> None:
    """A commitment signed by any key."""
    commitment = commitment_of(GENESIS, job, key.public_key, result_digest(VERDICT), bytes(32))
    world.pallets.jobs.commit(Nobody(), sign_commit(key, GENESIS, job, commitment))


@pytest.mark.parametrize("phase", [JobPhase.COMMIT, JobPhase.REVEAL])
def test_a_job_ends_as_its_panel_was_when_it_was_opened(world: Attested, phase: JobPhase) -> None:
    job, results = world.register(), dict.fromkeys(range(4), VERDICT)
    if phase is JobPhase.COMMIT:
        change_committee(world)
        world.attest(job, results)
    else:
        world.commit(job, results)
        world.end_block()
        assert world.phase(job) is JobPhase.REVEAL
        change_committee(world)
        world.reveal(job, results)
        world.pass_blocks_until(lambda: world.phase(job) is None)
    world.check_state()
    [(_, proof)] = world.pallets.models.proofs.items()
    assert [(seat.validator, seat.key, seat.stake) for seat in proof.attestations] == [
        (account, key.public_key, 1) for account, key in zip(SEATS, KEYS, strict=True)
    ]
    assert {seat.conduct for seat in proof.attestations} == {Conduct.AGREED}


def test_everyone_of_the_panel_is_paid_whoever_left(world: Attested) -> None:
    job = world.register()
    change_committee(world)
    world.attest(job, dict.fromkeys(range(4), VERDICT))
    shares = {world.free(seat) for seat in SEATS}
    assert len(shares) == 1
    assert shares.pop() > 0


@pytest.mark.parametrize("key", [NEW_KEY, BOB_KEY])
def test_a_key_that_came_later_has_no_seat(world: Attested, key: SigningKey) -> None:
    job = world.register()
    change_committee(world)
    with pytest.raises(NoSeat):
        commit_by(world, key, job)


def test_a_job_of_the_new_epoch_has_the_new_panel(world: Attested) -> None:
    change_committee(world)
    job = world.register()
    panel = [(seat.account, seat.key, seat.stake) for seat in world.pallets.jobs.panels.get(job)]
    assert panel == [
        (SEATS[0], KEYS[0].public_key, 1),
        (SEATS[1], NEW_KEY.public_key, 1),
        (SEATS[2], KEYS[2].public_key, 50),
        (BOB, BOB_KEY.public_key, 7),
    ]
    with pytest.raises(NoSeat):
        commit_by(world, KEYS[3], job)
    commit_by(world, BOB_KEY, job)
