"""Bugs in counting: what a quorum is, and who is in it."""

from collections.abc import Callable, Iterable
from typing import Any

from node.consensus import core
from node.consensus.tally import Tally
from primitives.certificate import Certificate, certificate_of, verify_certificate
from primitives.committee import Committee
from primitives.vote import Vote, VoteKind, vote_message
from tests.simulation.mutants.plant import Family

plant = Family("Counting")

IS_QUORUM = (Committee, "is_quorum")


@plant.safety("takes more than half of the stake for a quorum", IS_QUORUM)
def quorum_of_half(_: object, committee: Committee, indices: Iterable[int]) -> bool:
    return 2 * _stake(committee, set(indices)) > committee.total


@plant.safety("takes exactly two thirds of the stake for a quorum", IS_QUORUM)
def quorum_of_two_thirds(_: object, committee: Committee, indices: Iterable[int]) -> bool:
    return 3 * _stake(committee, set(indices)) >= 2 * committee.total


@plant.safety("counts heads instead of stake", IS_QUORUM)
def heads_counted(_: object, committee: Committee, indices: Iterable[int]) -> bool:
    return 3 * len(set(indices)) > 2 * len(committee.members)


@plant.liveness("asks for three quarters of the stake", IS_QUORUM)
def quorum_of_three_quarters(_: object, committee: Committee, indices: Iterable[int]) -> bool:
    return 4 * _stake(committee, set(indices)) > 3 * committee.total


@plant.safety("counts a signer once for every vote in the same view", (Tally, "certificate"))
def signer_repeated(_: object, tally: Any, vote: Vote) -> Certificate | None:
    """A signer who spoke for several subjects has its stake added for each."""
    subjects = tally._views[vote.view]
    equal = subjects[vote.kind, vote.block]
    heard = [signer for votes in subjects.values() for signer in votes if signer in equal]
    held = _stake(tally._committee, heard)
    return certificate_of(equal.values()) if 3 * held > 2 * tally._committee.total else None


@plant.safety("sums the votes of a view over different blocks", (Tally, "certificate"))
def blocks_summed(_: object, tally: Any, vote: Vote) -> Certificate | None:
    signers = _signers(tally, vote, lambda kind, _: kind == vote.kind)
    equal = tally._views[vote.view][vote.kind, vote.block]
    return certificate_of(equal.values()) if tally._committee.is_quorum(signers) else None


@plant.safety("sums NOTARIZE and FINALIZE votes for a block", (Tally, "certificate"))
def kinds_summed(_: object, tally: Any, vote: Vote) -> Certificate | None:
    signers = _signers(tally, vote, lambda _, block: block == vote.block)
    equal = tally._views[vote.view][vote.kind, vote.block]
    return certificate_of(equal.values()) if tally._committee.is_quorum(signers) else None


@plant.safety("believes a certificate of too little stake", (core, "verify_certificate"))
def thin_certificates_believed(_: object, certificate: Certificate, committee: Committee, *rest: Any) -> bool:
    return verify_certificate(certificate, _Lenient.of(committee), *rest)


@plant.safety("checks only the first signature of a certificate", (core, "verify_certificate"))
def later_signatures_unchecked(
    real: Callable[..., bool], certificate: Certificate, committee: Committee, anchor: Any, verifier: Any
) -> bool:
    checked: list[bool] = []

    def first_only(*arguments: bytes) -> bool:
        checked.append(checked[0] if checked else verifier(*arguments))
        return checked[0]

    return real(certificate, committee, anchor, first_only)


@plant.safety(
    "believes every signature of a vote",
    (core, "verify_vote"),
)
def votes_unverified(_: object, vote: Vote, committee: Committee, *rest: Any) -> bool:
    return vote.epoch == committee.epoch and vote.signer < len(committee.members)


@plant.safety("lets any member sign for any other", (core, "verify_vote"))
def signer_unchecked(
    _: object, vote: Vote, committee: Committee, anchor: Any, verifier: Callable[..., bool]
) -> bool:
    message = vote_message(anchor, vote.kind, vote.epoch, vote.view, vote.block)
    is_member = vote.epoch == committee.epoch and vote.signer < len(committee.members)
    return is_member and any(verifier(each.key, message, vote.signature) for each in committee.members)


class _Lenient(Committee, frozen=True):
    """A committee of which anybody is a quorum."""

    @classmethod
    def of(cls, committee: Committee) -> "_Lenient":
        return cls(
            committee.epoch,
            committee.first_height,
            committee.last_height,
            committee.spec_version,
            committee.members,
        )

    def is_quorum(self, indices: Iterable[int]) -> bool:
        return any(True for _ in indices)


def _signers(tally: Any, vote: Vote, belongs: Callable[[VoteKind, bytes], bool]) -> set[int]:
    """Signers of all votes in the view whose kind and block belong to it."""
    subjects = tally._views[vote.view].items()
    return {signer for (kind, block), votes in subjects if belongs(kind, block) for signer in votes}


def _stake(committee: Committee, indices: Iterable[int]) -> int:
    return sum(committee.members[index].stake for index in indices)
