"""A transaction from call to finality: nonce, mortality, fee, signature, submission, and the wait."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cli.chain import Chain
from cli.errors import UserError
from cli.records import decode_event, explain_failure
from primitives.extrinsic import (
    EXTRINSIC,
    EXTRINSIC_BYTES_MAX,
    Call,
    Mortality,
    SigningContext,
    extrinsic_hash,
    sign_extrinsic,
)
from primitives.signing import SigningKey
from primitives.types import Balance, BlockHash, BlockNumber, Nonce, SpecVersion

LIFE_BLOCKS: Final = 1024
"""How long a transaction stays valid: minutes on a fast local chain, an hour on a slow one."""

_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A signed transaction that was not sent yet."""

    data: bytes
    hash: str
    signer: str
    nonce: int
    expires: int
    """The last height at which it is valid."""

    fee: int
    """In the smallest unit, tip included."""

    weight: dict[str, int]
    """Reference time in picoseconds and proof size in bytes."""


def prepare(chain: Chain, key: SigningKey, call: Call, tip: Balance, nonce: int | None = None) -> Prepared:
    """Sign `call` for this chain, born at its newest finalized block. Raises UserError."""
    if nonce is None:
        nonce = int(chain.ask("system_accountNextIndex", f"0x{key.public_key.hex()}"))
    birth_hash = str(chain.ask("chain_getFinalizedHead"))
    birth = int(chain.ask("chain_getHeader", birth_hash)["height"])
    context = SigningContext(
        genesis=BlockHash(_bytes(chain.version["genesisHash"])),
        fork_id=chain.version["forkId"],
        spec_version=SpecVersion(chain.version["specVersion"]),
        birth_hash=_bytes(birth_hash),
    )
    mortality = Mortality(LIFE_BLOCKS, BlockNumber(birth))
    data = EXTRINSIC.encode(sign_extrinsic(key, Nonce(nonce), mortality, tip, call, context))
    if len(data) > EXTRINSIC_BYTES_MAX:
        raise UserError(f"the transaction has {len(data)} bytes", f"at most {EXTRINSIC_BYTES_MAX} fit")
    cost = chain.ask("payment_queryInfo", f"0x{data.hex()}")
    return Prepared(
        data=data,
        hash=f"0x{extrinsic_hash(data).hex()}",
        signer=chain.address(key.public_key),
        nonce=nonce,
        expires=birth + LIFE_BLOCKS,
        fee=int(cost["length_fee"]) + int(cost["weight_fee"]) + int(cost["tip"]),
        weight=cost["weight"],
    )


def submit(chain: Chain, prepared: Prepared) -> None:
    """Send it. Raises UserError if the node does not take it."""
    chain.ask("author_submitExtrinsic", f"0x{prepared.data.hex()}")


def wait_finalized(chain: Chain, prepared: Prepared, note: Callable[[str], None]) -> dict[str, Any]:
    """Where and how it became final. Raises UserError if it expired, or was refused on the way."""
    while True:
        found = chain.ask("author_extrinsicStatus", prepared.hash)
        if found["status"] == "finalized":
            return outcome(chain, found)
        height = int(chain.ask("chain_getHeader", chain.ask("chain_getFinalizedHead"))["height"])
        if height > prepared.expires:
            raise UserError(
                f"{prepared.hash} expired: no block up to {prepared.expires} took it", "send it again"
            )
        if found["status"] == "unknown":
            _send_again(chain, prepared)
        note(f"waiting for finality; block {height} is final")
        time.sleep(_POLL_S)


def execute(
    chain: Chain, key: SigningKey, name: str, arguments: dict[str, str], note: Callable[[str], None]
) -> dict[str, Any]:
    """Send a call and wait until it is final; its outcome. Raises UserError if it was refused."""
    prepared = prepare(chain, key, chain.values.call(name, arguments), Balance(0))
    submit(chain, prepared)
    done = wait_finalized(chain, prepared, note)
    if "failure" in done:
        raise UserError(f"the chain refused it ({done['failure']})", "its fee was charged, nothing else")
    return done


def event_fields(done: dict[str, Any], name: str) -> dict[str, Any]:
    """The fields of the event of that name in what a finalized transaction did."""
    fields: dict[str, Any] = next(each["fields"] for each in done["events"] if each["event"] == name)
    return fields


def outcome(chain: Chain, found: dict[str, Any]) -> dict[str, Any]:
    """Height, events and failure of a finalized transaction, from the node's status of it."""
    document = {key: found[key] for key in ("status", "height", "blockHash", "index")}
    document["events"] = [decode_event(chain, event) for event in found["events"]]
    if found["failure"] is not None:
        document["failure"] = explain_failure(chain, found["failure"])
    return document


def _send_again(chain: Chain, prepared: Prepared) -> None:
    """A restarted node, or one whose pool was full, has forgotten it; one that just finalized it refuses."""
    try:
        submit(chain, prepared)
    except UserError:
        if chain.ask("author_extrinsicStatus", prepared.hash)["status"] == "unknown":
            raise


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
