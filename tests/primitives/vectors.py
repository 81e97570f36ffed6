"""The vectors of the records that cross the wire; `python -m tests.primitives.vectors` writes them anew.

They change only in a commit that says why an encoding changed.
"""

import json
from pathlib import Path
from typing import Any, Final

import msgpack

from primitives.block import BLOCK, HEADER, Block, Body, block_hash, body_root
from primitives.certificate import CERTIFICATE
from primitives.codec import Codec
from primitives.committee import COMMITTEE, committee_root
from primitives.extrinsic import (
    EXTRINSIC,
    Call,
    Mortality,
    SigningContext,
    extrinsic_hash,
    sign_extrinsic,
    signed_message,
)
from primitives.finality import EPOCH_PROOF, FINALITY_PROOF
from primitives.outcome import BLOCK_OUTCOME, BlockOutcome, EventRecord, Failure, Outcome, events_root
from primitives.state_proof import STATE_PROOF
from primitives.state_root import state_root
from primitives.types import Balance, BlockHash, BlockNumber, Nonce, SpecVersion
from primitives.vote import EVIDENCE, VOTE, Vote, VoteKind, evidence_of, vote_message
from tests.primitives.chains import KEYS, committee, finalize, make_chain
from tests.primitives.states import prove

PATH: Final = Path(__file__).parents[1] / "vectors" / "primitives.json"

STATE: Final = {b"alice": b"10", b"bob": b"", b"carol": b"30", b"dave": b"40", b"erin": b"50"}


def make() -> dict[str, Any]:
    """Every record, its bytes, and what is hashed or signed of it."""
    chain = make_chain(state_root(STATE.items()))
    context = SigningContext(BlockHash(b"g" * 32), "fork", SpecVersion(1), b"h" * 32)
    call = Call(2, 0, b"\x92\x01\x02")
    extrinsic = sign_extrinsic(
        KEYS[0], Nonce(65536), Mortality(64, BlockNumber(5)), Balance(7), call, context
    )
    body = Body((call,), (extrinsic,))
    certificate = finalize(chain.headers[2], chain.anchor(1))
    votes = certificate.votes()
    one = votes[0]
    other = Vote(VoteKind.FINALIZE, one.epoch, one.view, b"o" * 32, one.signer, one.signature)
    event = EventRecord("balances", "Transferred", b"\x90")
    outcome = BlockOutcome((Outcome(None, (event,)), Outcome(Failure("balances", "Dust"), ())), (event,))
    return {
        "extrinsic": _vector(EXTRINSIC, extrinsic, hash=extrinsic_hash(EXTRINSIC.encode(extrinsic)))
        | {"signed": signed_message(extrinsic, context).hex()},
        "header": _vector(HEADER, chain.headers[4], hash=block_hash(chain.headers[4])),
        "block": _vector(BLOCK, Block(chain.headers[1], body), hash=body_root(body)),
        "committee": _vector(COMMITTEE, committee(2), hash=committee_root(committee(2))),
        "vote": _vector(VOTE, votes[1])
        | {"signed": vote_message(chain.anchor(1), *_subject(votes[1])).hex()},
        "certificate": _vector(CERTIFICATE, certificate),
        "evidence": _vector(EVIDENCE, evidence_of(one, other)),
        "finality_proof": _vector(FINALITY_PROOF, chain.finality_proof(1, 3)),
        "epoch_proof": _vector(EPOCH_PROOF, chain.epoch_proof(1)),
        "outcome": _vector(BLOCK_OUTCOME, outcome, hash=events_root(outcome)),
        "proof_of_presence": _vector(STATE_PROOF, prove(b"carol", STATE), hash=state_root(STATE.items())),
        "proof_of_absence": _vector(STATE_PROOF, prove(b"frank", STATE), hash=state_root(STATE.items())),
    }


def shown(value: Any) -> Any:
    """A decoded MessagePack value as JSON can hold it: bytes as hexadecimal after 0x."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return [shown(part) for part in value] if isinstance(value, list) else value


def _subject(vote: Vote) -> tuple[Any, ...]:
    return vote.kind, vote.epoch, vote.view, vote.block


def _vector(codec: Codec[Any], record: Any, **hashes: bytes) -> dict[str, Any]:
    data = codec.encode(record)
    vector = {"bytes": data.hex(), "fields": shown(msgpack.unpackb(data))}
    return vector | {name: value.hex() for name, value in hashes.items()}


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1) + "\n")
