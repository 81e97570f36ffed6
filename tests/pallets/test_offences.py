"""Offences: what is proved is recorded once, and nothing else is."""

import dataclasses

import pytest
from msgspec.structs import replace

from frame.error import DispatchError
from frame.origin import BadOrigin, Nobody, Root, Signed
from frame.validators import Historical
from pallets.offences.pallet import (
    AlreadyReported,
    BadSignature,
    Needs,
    NoOffence,
    TooManyReports,
    UnknownEpoch,
)
from primitives.block import GENESIS_PARENT
from primitives.offence import OffenceKind, OffenceRecord, verify_offence
from primitives.types import AuthorityIndex, BlockHash, BlockNumber, EpochIndex, Signature, Stake, View
from primitives.vote import NO_BLOCK, Evidence, Vote, VoteKind, evidence_of, vote_message
from runtime.constants import OFFENCES, SESSION
from runtime.offences import report_call
from tests.pallets.attested import KEYS, SEATS, Attested
from tests.pallets.test_session import pass_epoch
from tests.pallets.world import ALICE

ONE, OTHER = b"\x01" * 32, b"\x02" * 32
SECOND_ANCHOR = BlockHash((11).to_bytes(32, "big"))
"""What the world takes for the hash of the last block of epoch 1."""


@pytest.fixture
def world() -> Attested:
    """In the first block of epoch 2."""
    world = Attested((4, 3, 2, 1))
    pass_epoch(world)
    return world


def vote(
    kind: VoteKind,
    block: bytes = ONE,
    epoch: int = 2,
    view: int = 7,
    seat: int = 1,
    anchor: BlockHash = SECOND_ANCHOR,
) -> Vote:
    """A vote of a seat, which it signed."""
    message = vote_message(anchor, kind, EpochIndex(epoch), View(view), block)
    return Vote(
        kind, EpochIndex(epoch), View(view), block, AuthorityIndex(seat), KEYS[seat % 4].sign(message)
    )


def double_vote(
    kind: VoteKind = VoteKind.NOTARIZE,
    epoch: int = 2,
    view: int = 7,
    seat: int = 1,
    anchor: BlockHash = SECOND_ANCHOR,
) -> Evidence:
    """Two votes of a kind for two blocks."""
    return evidence_of(
        vote(kind, ONE, epoch, view, seat, anchor), vote(kind, OTHER, epoch, view, seat, anchor)
    )


def nullify_and_finalize() -> Evidence:
    """The other way to break the rules."""
    return evidence_of(vote(VoteKind.NULLIFY, NO_BLOCK), vote(VoteKind.FINALIZE))


def report(world: Attested, evidence: Evidence) -> None:
    """As the author of the block does."""
    world.pallets.offences.report(Nobody(), evidence)


def refuse(world: Attested, error: type[DispatchError], evidence: Evidence) -> None:
    """The report is refused with `error`, and changes nothing."""
    before = world.pallets.context.overlay.changes()
    with pytest.raises(error):
        report(world, evidence)
    assert world.pallets.context.overlay.changes() == before
    world.check_state()


@pytest.mark.parametrize(
    ("evidence", "kind"),
    [
        (double_vote(VoteKind.NOTARIZE), OffenceKind.DOUBLE_NOTARIZE),
        (double_vote(VoteKind.FINALIZE), OffenceKind.DOUBLE_FINALIZE),
        (nullify_and_finalize(), OffenceKind.NULLIFY_AND_FINALIZE),
    ],
)
def test_an_equivocation_is_recorded(world: Attested, evidence: Evidence, kind: OffenceKind) -> None:
    offences = world.pallets.offences
    assert offences.wants(evidence)
    report(world, evidence)
    record = OffenceRecord(
        kind=kind,
        offender=SEATS[1],
        key=KEYS[1].public_key,
        stake=Stake(3),
        anchor=SECOND_ANCHOR,
        evidence=evidence,
        reported=BlockNumber(11),
    )
    assert dict(offences.records.items()) == {0: record}
    assert verify_offence(record)
    assert world.events() == ["Reported"]
    assert not offences.wants(evidence)
    world.check_state()


def test_an_offender_is_recorded_once_for_an_epoch_and_kind(world: Attested) -> None:
    report(world, double_vote())
    refuse(world, AlreadyReported, double_vote())
    refuse(world, AlreadyReported, double_vote(view=8))
    assert not world.pallets.offences.wants(double_vote(view=8))
    report(world, double_vote(VoteKind.FINALIZE))
    report(world, double_vote(seat=2))
    report(world, double_vote(epoch=1, anchor=BlockHash(GENESIS_PARENT)))
    assert world.pallets.offences.count.get() == 4
    world.check_state()


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(vote(VoteKind.NOTARIZE), vote(VoteKind.NOTARIZE)),
        Evidence(vote(VoteKind.NOTARIZE), vote(VoteKind.FINALIZE)),
        Evidence(vote(VoteKind.NOTARIZE), vote(VoteKind.NOTARIZE, OTHER, view=8)),
        Evidence(vote(VoteKind.NOTARIZE), vote(VoteKind.NOTARIZE, OTHER, seat=2)),
        Evidence(vote(VoteKind.NOTARIZE), vote(VoteKind.NOTARIZE, OTHER, epoch=1)),
        Evidence(double_vote().second, double_vote().first),
    ],
    ids=["twice the same", "no conflict", "two views", "two signers", "two epochs", "wrong order"],
)
def test_votes_that_convict_nobody_are_refused(world: Attested, evidence: Evidence) -> None:
    assert not world.pallets.offences.wants(evidence)
    refuse(world, NoOffence, evidence)


def test_votes_of_a_future_epoch_are_refused(world: Attested) -> None:
    assert not world.pallets.offences.wants(double_vote(epoch=3))
    refuse(world, UnknownEpoch, double_vote(epoch=3))


def test_votes_of_a_forgotten_epoch_are_refused(world: Attested) -> None:
    for _ in range(SESSION.history_epochs - 1):
        pass_epoch(world)
    late = double_vote()
    assert world.pallets.offences.wants(late)
    pass_epoch(world)
    assert not world.pallets.offences.wants(late)
    refuse(world, UnknownEpoch, late)


@pytest.mark.parametrize(
    "evidence",
    [
        evidence_of(
            vote(VoteKind.NOTARIZE), replace(vote(VoteKind.NOTARIZE, OTHER), signature=Signature(bytes(64)))
        ),
        double_vote(anchor=BlockHash(GENESIS_PARENT)),
        evidence_of(
            *(replace(vote(VoteKind.NOTARIZE, block), signer=AuthorityIndex(2)) for block in (ONE, OTHER))
        ),
        double_vote(seat=4),
    ],
    ids=["forged", "of another fork", "of another signer", "of no member"],
)
def test_votes_that_the_member_did_not_sign_are_refused(world: Attested, evidence: Evidence) -> None:
    refuse(world, BadSignature, evidence)


def test_nobody_wants_votes_of_no_member(world: Attested) -> None:
    assert not world.pallets.offences.wants(double_vote(seat=4))


def test_a_block_takes_a_bounded_number_of_reports(world: Attested) -> None:
    world.pallets.offences._reports = OFFENCES.reports_max - 1
    report(world, double_vote())
    refuse(world, TooManyReports, double_vote(seat=2))
    world.end_block()
    report(world, double_vote(seat=2))


def test_a_new_record_takes_the_place_of_the_oldest(world: Attested) -> None:
    offences = world.pallets.offences
    offences.config = dataclasses.replace(OFFENCES, records_max=2)
    for seat in range(3):
        report(world, double_vote(seat=seat))
    assert sorted(number for number, _ in offences.records.items()) == [1, 2]
    with pytest.raises(AlreadyReported):
        report(world, double_vote(seat=0))
    offences.check_state()


def test_charges_go_with_their_epoch_and_records_stay(world: Attested) -> None:
    report(world, double_vote())
    for _ in range(SESSION.history_epochs + 1):
        pass_epoch(world)
    offences = world.pallets.offences
    assert list(offences.charges.items()) == []
    assert offences.records.find(0) is not None
    world.check_state()


def test_forgetting_looks_at_one_committee_however_many_are_charged(world: Attested) -> None:
    looked: list[EpochIndex] = []

    class Looking:
        def historical(self, epoch: EpochIndex) -> Historical | None:
            looked.append(epoch)
            return world.pallets.session.historical(epoch)

    for seat in range(3):
        report(world, double_vote(seat=seat))
    offences = world.pallets.offences
    offences._needs = Needs(history=Looking())
    offences.on_new_epoch(EpochIndex(3), world.pallets.session.acting())
    assert looked == [EpochIndex(2)]
    world.pallets.session.history.remove(EpochIndex(2))
    offences.on_new_epoch(EpochIndex(4), world.pallets.session.acting())
    assert looked == [EpochIndex(2)] * 2
    assert list(offences.charges.items()) == []


def test_an_offender_who_left_is_still_convicted(world: Attested) -> None:
    world.pallets.validators.remove(Root(), SEATS[1])
    pass_epoch(world)
    assert SEATS[1] not in [one.account for one in world.pallets.session.acting()]
    report(world, double_vote())
    record = world.pallets.offences.records.get(0)
    assert (record.offender, record.key, record.stake) == (SEATS[1], KEYS[1].public_key, 3)
    world.check_state()


@pytest.mark.parametrize("origin", [Signed(ALICE), Root()])
def test_only_an_author_reports(world: Attested, origin: Signed | Root) -> None:
    with pytest.raises(BadOrigin):
        world.pallets.offences.report(origin, double_vote())


def test_the_inherent_is_what_the_runtime_decodes(world: Attested) -> None:
    call = report_call(double_vote())
    declaration, arguments = world.pallets.find(call)
    assert (declaration.name, declaration.is_inherent) == ("report", True)
    assert tuple(arguments) == (double_vote(),)
