"""Proofs that a block is final, for whoever holds the committee of its epoch.

A finalization also commits the ancestors that have no certificate of their own, so that the proof of a height
is the chain of headers from it up to the next certified one.
"""

from enum import Enum
from typing import Annotated, Final

import msgspec

from primitives.block import Header, block_hash
from primitives.certificate import Certificate, Verifier, verify_certificate
from primitives.codec import Codec, Record
from primitives.committee import Committee, committee_root
from primitives.signing import verify
from primitives.types import BlockHash
from primitives.vote import VoteKind

HEADERS_MAX: Final = 1024
"""Longest chain of headers in one finality proof: as many blocks may wait for one certificate."""


class FinalityProof(Record, frozen=True):
    """Headers h..h', each the parent of the next, and the FINALIZE certificate of h'."""

    headers: Annotated[tuple[Header, ...], msgspec.Meta(min_length=1, max_length=HEADERS_MAX)]
    certificate: Certificate


class EpochProof(Record, frozen=True):
    """The hand-over from one committee to the next."""

    header: Header
    """The last of its epoch; its `next_set` commits to `successor`."""

    certificate: Certificate
    """FINALIZE for that header by the committee of its epoch."""

    successor: Committee
    """The committee of the following epoch."""


FINALITY_PROOF: Final = Codec[FinalityProof](FinalityProof)
EPOCH_PROOF: Final = Codec[EpochProof](EpochProof)


class Flaw(Enum):
    """Why a proof convinces nobody."""

    WRONG_GENESIS = "the genesis header does not commit to this committee"
    WRONG_EPOCH = "the header or certificate belongs to another epoch than the committee"
    WRONG_HEIGHT = "the header stands at another height than asked for, or outside its epoch"
    NOT_A_CHAIN = "the headers are no chain of parents"
    NOT_FINAL = "the certificate is not the FINALIZE of this header"
    BAD_CERTIFICATE = "the certificate is not signed by more than two thirds of the stake"
    WRONG_SUCCESSOR = "the header does not commit to the committee that is said to follow"
    WRONG_STATE = "the state proof does not lead from the value to the state root"
    MALFORMED = "the bytes are no proof at all"


class BadProof(Exception):
    """Someone's proof does not prove what it claims; `flaw` says why."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.value)
        self.flaw = flaw


class Trusted(Record, frozen=True):
    """Everything that finality of an epoch is judged by."""

    anchor: BlockHash
    """Hash of the last block before the epoch; votes sign it."""

    committee: Committee


TRUSTED: Final = Codec[Trusted](Trusted)


def trust_genesis(header: Header, committee: Committee) -> Trusted:
    """What a chain's genesis block says about its first epoch. Raises BadProof."""
    _ensure(header.height == 0 and header.next_set == committee_root(committee), Flaw.WRONG_GENESIS)
    _ensure(committee.epoch == 1 and committee.first_height == 1, Flaw.WRONG_GENESIS)
    return Trusted(block_hash(header), committee)


def advance(trusted: Trusted, proof: EpochProof, verifier: Verifier = verify) -> Trusted:
    """Trust of the next epoch, from the trust of this one. Raises BadProof."""
    ended, successor = trusted.committee, proof.successor
    _ensure_final(trusted, proof.header, proof.certificate, verifier)
    _ensure(proof.header.height == ended.last_height, Flaw.WRONG_HEIGHT)
    _ensure(proof.header.next_set == committee_root(successor), Flaw.WRONG_SUCCESSOR)
    follows = successor.epoch == ended.epoch + 1 and successor.first_height == ended.last_height + 1
    _ensure(follows, Flaw.WRONG_SUCCESSOR)
    return Trusted(block_hash(proof.header), successor)


def verify_finality(trusted: Trusted, proof: FinalityProof, verifier: Verifier = verify) -> Header:
    """The first header of `proof`, which is final. Raises BadProof."""
    for parent, child in zip(proof.headers, proof.headers[1:], strict=False):
        linked = child.parent == block_hash(parent) and child.height == parent.height + 1
        _ensure(linked, Flaw.NOT_A_CHAIN)
    first, last = proof.headers[0], proof.headers[-1]
    _ensure(first.height >= trusted.committee.first_height, Flaw.WRONG_HEIGHT)
    _ensure_final(trusted, last, proof.certificate, verifier)
    return first


def _ensure_final(trusted: Trusted, header: Header, certificate: Certificate, verifier: Verifier) -> None:
    committee = trusted.committee
    in_epoch = header.epoch == committee.epoch == certificate.epoch
    _ensure(in_epoch, Flaw.WRONG_EPOCH)
    _ensure(committee.first_height <= header.height <= committee.last_height, Flaw.WRONG_HEIGHT)
    is_final = certificate.kind == VoteKind.FINALIZE and certificate.block == block_hash(header)
    _ensure(is_final, Flaw.NOT_FINAL)
    signed = verify_certificate(certificate, committee, trusted.anchor, verifier)
    _ensure(signed, Flaw.BAD_CERTIFICATE)


def _ensure(condition: bool, flaw: Flaw) -> None:
    if not condition:
        raise BadProof(flaw)
