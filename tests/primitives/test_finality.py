from collections.abc import Callable

import msgspec
import pytest

from primitives.committee import Committee
from primitives.finality import (
    EPOCH_PROOF,
    FINALITY_PROOF,
    BadProof,
    EpochProof,
    FinalityProof,
    Flaw,
    Trusted,
    advance,
    trust_genesis,
    verify_finality,
)
from primitives.types import Hash
from primitives.vote import VoteKind
from tests.primitives.chains import committee, finalize, make_chain

CHAIN = make_chain()
FIRST = trust_genesis(CHAIN.headers[0], committee(1))


def test_trust_goes_from_the_genesis_over_epochs_to_a_header() -> None:
    second = advance(FIRST, CHAIN.epoch_proof(1))
    assert second == Trusted(CHAIN.anchor(2), committee(2))
    assert verify_finality(second, CHAIN.finality_proof(5, 7)) == CHAIN.headers[5]
    assert verify_finality(FIRST, CHAIN.finality_proof(3, 3)) == CHAIN.headers[3]


def test_proofs_survive_the_wire() -> None:
    assert FINALITY_PROOF.decode(FINALITY_PROOF.encode(CHAIN.finality_proof(1, 2))) == CHAIN.finality_proof(
        1, 2
    )
    assert EPOCH_PROOF.decode(EPOCH_PROOF.encode(CHAIN.epoch_proof(1))) == CHAIN.epoch_proof(1)


@pytest.mark.parametrize(("height", "successor"), [(1, committee(1)), (0, committee(2)), (4, committee(2))])
def test_another_genesis_is_refused(height: int, successor: Committee) -> None:
    with pytest.raises(BadProof) as refusal:
        trust_genesis(CHAIN.headers[height], successor)
    assert refusal.value.flaw == Flaw.WRONG_GENESIS


def replace(record: object, **changes: object) -> object:
    return msgspec.structs.replace(record, **changes)  # type: ignore[type-var]


def _altered_header(proof: FinalityProof) -> object:
    forged = replace(proof.headers[0], state_root=Hash(b"f" * 32))
    return replace(proof, headers=(forged, *proof.headers[1:]))


FORGERIES: list[tuple[str, Callable[[FinalityProof], object], Flaw]] = [
    ("altered first header", _altered_header, Flaw.NOT_A_CHAIN),
    ("a header left out", lambda p: replace(p, headers=(p.headers[0], p.headers[2])), Flaw.NOT_A_CHAIN),
    ("the certificate of the parent", lambda p: replace(p, headers=p.headers[:2]), Flaw.NOT_FINAL),
    (
        "a notarization",
        lambda p: replace(p, certificate=finalize(p.headers[-1], CHAIN.anchor(1), kind=VoteKind.NOTARIZE)),
        Flaw.NOT_FINAL,
    ),
    (
        "half of the stake",
        lambda p: replace(p, certificate=finalize(p.headers[-1], CHAIN.anchor(1), signers=(0, 1))),
        Flaw.BAD_CERTIFICATE,
    ),
    (
        "signatures for another fork",
        lambda p: replace(p, certificate=finalize(p.headers[-1], CHAIN.anchor(2))),
        Flaw.BAD_CERTIFICATE,
    ),
    ("another epoch", lambda _: CHAIN.finality_proof(5, 6), Flaw.WRONG_EPOCH),
    ("a chain from before the epoch", lambda _: CHAIN.finality_proof(0, 2), Flaw.WRONG_HEIGHT),
]


@pytest.mark.parametrize(("what", "forge", "flaw"), FORGERIES, ids=[what for what, _, _ in FORGERIES])
def test_a_forged_finality_proof_is_refused(
    what: str, forge: Callable[[FinalityProof], FinalityProof], flaw: Flaw
) -> None:
    with pytest.raises(BadProof) as refusal:
        verify_finality(FIRST, forge(CHAIN.finality_proof(1, 3)))
    assert refusal.value.flaw == (Flaw.WRONG_HEIGHT if what.startswith("a chain from") else flaw)


EPOCH_FORGERIES: list[tuple[str, Callable[[EpochProof], object], Flaw]] = [
    ("another successor", lambda p: replace(p, successor=committee(3)), Flaw.WRONG_SUCCESSOR),
    (
        "not the last block",
        lambda p: EpochProof(CHAIN.headers[3], finalize(CHAIN.headers[3], CHAIN.anchor(1)), committee(2)),
        Flaw.WRONG_HEIGHT,
    ),
    ("the epoch after", lambda _: CHAIN.epoch_proof(2), Flaw.WRONG_EPOCH),
    ("an altered header", lambda p: replace(p, header=replace(p.header, next_set=None)), Flaw.NOT_FINAL),
    (
        "half of the stake",
        lambda p: replace(p, certificate=finalize(p.header, CHAIN.anchor(1), signers=(0, 3))),
        Flaw.BAD_CERTIFICATE,
    ),
]


@pytest.mark.parametrize(
    ("what", "forge", "flaw"), EPOCH_FORGERIES, ids=[what for what, _, _ in EPOCH_FORGERIES]
)
def test_a_forged_epoch_proof_is_refused(
    what: str, forge: Callable[[EpochProof], EpochProof], flaw: Flaw
) -> None:
    with pytest.raises(BadProof) as refusal:
        advance(FIRST, forge(CHAIN.epoch_proof(1)))
    assert refusal.value.flaw == flaw
