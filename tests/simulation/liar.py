"""A light client beside every run: it is told what became final, and lies about that.

The client must believe the one and none of the others. All of it is real code but the liar, who holds every
block and certificate of a run and no key.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from primitives.block import block_hash
from primitives.certificate import Verifier, certificate_of
from primitives.committee import Committee, committee_root
from primitives.finality import (
    BadProof,
    EpochProof,
    FinalityProof,
    Trusted,
    advance,
    trust_genesis,
    verify_finality,
)
from primitives.types import EpochIndex, Stake
from tests.simulation.chain import Chain
from tests.simulation.database import Database
from tests.simulation.oracles import Oracle, Violation


def tell(chain: Chain, database: Database, verifier: Verifier) -> None:
    """Lead a light client through the epochs that ended, by truth and lies.

    Raises Violation if it believes a lie, or not the truth.
    """
    trusted = trust_genesis(chain.genesis, chain.committee(EpochIndex(1)))
    for epoch in range(1, database.position().epoch.index):
        certificate = database.last_certificate(EpochIndex(epoch))
        assert certificate is not None
        height = chain.committee(EpochIndex(epoch)).last_height
        last, below = database.final_header(height), database.final_header(height - 1)
        truth = EpochProof(last, certificate, chain.committee(EpochIndex(last.epoch + 1)))
        for lie in _epoch_lies(trusted.committee, truth):
            if _is_believed(trusted, lie, verifier):
                raise Violation(Oracle.LIGHT, f"a light client takes a false end of epoch {last.epoch}")
        proof = FinalityProof((replace(below, view=last.view), last), certificate)
        if last.height > chain.first_height(last.epoch) and _believes_header(trusted, proof, verifier):
            raise Violation(
                Oracle.LIGHT, f"a light client takes a header that is not final below {last.height}"
            )
        if not _is_believed(trusted, truth, verifier):
            raise Violation(Oracle.LIGHT, f"a light client refuses the end of epoch {last.epoch}")
        trusted = advance(trusted, truth, verifier)


def _epoch_lies(committee: Committee, truth: EpochProof) -> Iterator[EpochProof]:
    """What a server without keys can make of a proof; `committee`: whose epoch it ends."""
    successor = _seized(truth.successor)
    header = replace(truth.header, next_set=committee_root(successor))
    certificate = replace(truth.certificate, block=block_hash(header))
    yield replace(truth, successor=successor)
    yield EpochProof(header, truth.certificate, successor)
    yield EpochProof(header, certificate, successor)
    stakes = [member.stake for member in committee.members]
    one = min(truth.certificate.votes(), key=lambda vote: stakes[vote.signer])
    if 3 * stakes[one.signer] <= 2 * sum(stakes):
        yield replace(truth, certificate=certificate_of([one]))


def _seized(committee: Committee) -> Committee:
    """The committee with almost all stake in one hand."""
    first, *others = committee.members
    return replace(committee, members=(replace(first, stake=Stake(first.stake + 1000)), *others))


def _is_believed(trusted: Trusted, proof: EpochProof, verifier: Verifier) -> bool:
    try:
        advance(trusted, proof, verifier)
    except BadProof:
        return False
    return True


def _believes_header(trusted: Trusted, proof: FinalityProof, verifier: Verifier) -> bool:
    try:
        verify_finality(trusted, proof, verifier)
    except BadProof:
        return False
    return True
