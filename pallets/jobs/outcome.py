"""What a job came to: the result that a quorum stands for, what each seat did, and who gets what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from frame.jobs import Attestation, Conduct
from frame.validators import Validator
from pallets.jobs.types import Word
from primitives.types import PARTS_PER_BILLION, AccountId, AuthorityIndex, Balance, Hash, Stake


@dataclass(frozen=True, slots=True)
class Shares:
    """The parts of a reward; they add up to it."""

    earned: tuple[tuple[AccountId, Balance], ...]
    treasury: Balance
    refund: Balance


def revealed(
    panel: Sequence[Validator], words: Mapping[AuthorityIndex, Word]
) -> tuple[tuple[Hash, Stake], ...]:
    """Every digest that was revealed, and the stake behind it, ascending by digest."""
    stakes: dict[Hash, int] = {}
    for index, word in words.items():
        if word.digest is not None:
            stakes[word.digest] = stakes.get(word.digest, 0) + panel[index].stake
    return tuple((digest, Stake(stake)) for digest, stake in sorted(stakes.items()))


def agreed(panel: Sequence[Validator], words: Mapping[AuthorityIndex, Word]) -> Hash | None:
    """The digest that more than two thirds of the stake revealed."""
    total = sum(seat.stake for seat in panel)
    return next((digest for digest, stake in revealed(panel, words) if 3 * stake > 2 * total), None)


def attest(
    panel: Sequence[Validator], words: Mapping[AuthorityIndex, Word], digest: Hash | None
) -> tuple[Attestation, ...]:
    """What became of each seat, if `digest` is what the quorum stands for."""
    return tuple(
        Attestation(seat.account, seat.key, seat.stake, _conduct(words.get(AuthorityIndex(at)), digest))
        for at, seat in enumerate(panel)
    )


def share(
    reward: Balance, attestations: Sequence[Attestation], treasury_share: int, has_quorum: bool
) -> Shares:
    """Who gets what of a reward. Each seat could earn its part, by stake, of what is not the treasury's.

    With a quorum, who agreed earns, and the rest is the treasury's. Without one, who revealed earns, and the
    rest is refunded; but if a third of the stake or more could not open the input, that is the payer's
    fault: who said so earns too, and nothing is refunded.
    """
    total = sum(seat.stake for seat in attestations)
    unopened = sum(seat.stake for seat in attestations if seat.conduct is Conduct.CANNOT_OPEN)
    earning = {Conduct.AGREED} if has_quorum else {Conduct.DISSENTED}
    is_payers_fault = not has_quorum and 3 * unopened >= total > 0
    if is_payers_fault:
        earning.add(Conduct.CANNOT_OPEN)
    part = reward - reward * treasury_share // PARTS_PER_BILLION
    earned = tuple(
        (seat.validator, Balance(part * seat.stake // total))
        for seat in attestations
        if seat.conduct in earning and part * seat.stake >= total
    )
    left = Balance(reward - sum(amount for _, amount in earned))
    keeps = has_quorum or is_payers_fault
    return Shares(earned, left if keeps else Balance(0), Balance(0) if keeps else left)


def _conduct(word: Word | None, digest: Hash | None) -> Conduct:
    if word is None:
        return Conduct.SILENT
    if word.cannot_open:
        return Conduct.CANNOT_OPEN
    if word.commitment is None:
        return Conduct.ABSTAINED
    if word.digest is None:
        return Conduct.UNREVEALED
    return Conduct.AGREED if word.digest == digest else Conduct.DISSENTED
