"""The offences that a chain has on record: as a node tells them, or proved and judged again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from cli.errors import UserError
from cli.lookup import find_storage
from cli.output import print_json, print_table
from frame.metadata import decode_value, storage_key
from frame.validators import Historical
from node.light.client import Answer, LightClient
from primitives.codec import Codec, CodecError
from primitives.offence import OFFENCE_RECORD, OffenceRecord, verify_offence
from primitives.ss58 import encode_address
from primitives.types import U63, EpochIndex
from runtime.description import describe_runtime

SHOWN_MAX: Final = 32
"""Most records that are asked for at a time."""

Count = Annotated[int, typer.Option("--count", help="How many, the newest first.", min=1, max=SHOWN_MAX)]

_COUNT: Final = Codec[int](U63)
HISTORICAL: Final = Codec[Historical](Historical)
_WRONG: Final = "more than two thirds of the stake signed a state that the rules do not allow: report this"


@dataclass(frozen=True, slots=True)
class Offence:
    """A record, and where it stands."""

    number: int
    record: OffenceRecord


def state_key(item: str, *keys: int) -> bytes:
    """The storage key of an entry under numbers, as this release has it."""
    return storage_key(find_storage(describe_runtime(), item), keys)


def newest(count: bytes | None, shown: int) -> dict[bytes, int]:
    """Storage keys and numbers of the last records, the newest first, from the entry of their count."""
    found = 0 if count is None else _decode(_COUNT, count)
    numbers = range(found - 1, max(-1, found - 1 - shown), -1)
    return {state_key("offences.records", number): number for number in numbers}


def decode_offences(numbers: Mapping[bytes, int], values: Mapping[bytes, bytes | None]) -> list[Offence]:
    """The records in entries of the state; an absent one made room for newer ones. Raises UserError."""
    entries = [(numbers[key], values[key]) for key in numbers]
    return [Offence(number, _decode(OFFENCE_RECORD, data)) for number, data in entries if data is not None]


def prove_offences(client: LightClient, shown: int) -> tuple[list[Offence], Answer]:
    """The newest records, proved and judged again.

    Their signatures convict the keys in them. That these were authorities is checked as long as the state
    holds the committee of their epoch; later, that they were is what the state says.
    Raises UserError, BadProof.
    """
    key = state_key("offences.count")
    counted = client.read([key])
    numbers = newest(counted.values[key], shown)
    if not numbers:
        return [], counted
    answer = client.read(list(numbers))
    offences = decode_offences(numbers, answer.values)
    history = _history(client, {one.record.evidence.first.epoch for one in offences})
    for one in offences:
        if not verify_offence(one.record):
            raise UserError(f"offence {one.number} is on record, but convicts nobody", _WRONG)
        past = history.get(one.record.evidence.first.epoch)
        if past is not None and not _is_of(one.record, past):
            raise UserError(f"offence {one.number} names no member of the committee", _WRONG)
    return offences, answer


def print_offences(
    offences: Sequence[Offence], prefix: int, as_json: bool, proved: Mapping[str, Any]
) -> None:
    """As a table, or as one document together with `proved`."""
    if as_json:
        print_json({"offences": [_document(one, prefix) for one in offences], **proved})
        return
    columns = ("number", "offender", "what", "epoch", "view", "stake", "in block")
    print_table(columns, [_row(one, prefix) for one in offences], "no offences on record")


def _history(client: LightClient, epochs: set[EpochIndex]) -> dict[EpochIndex, Historical]:
    """Those of the committees that the state still holds, proved."""
    keys = {state_key("session.history", epoch): epoch for epoch in sorted(epochs)}
    values = client.read(list(keys)).values if keys else {}
    return {keys[key]: _decode(HISTORICAL, data) for key, data in values.items() if data is not None}


def _is_of(record: OffenceRecord, past: Historical) -> bool:
    """Whether the record says of the authority what its committee does."""
    signer, members = record.evidence.first.signer, past.committee.members
    if signer >= len(members) or past.anchor != record.anchor:
        return False
    said = (record.offender, record.key, record.stake)
    return said == (past.accounts[signer], members[signer].key, members[signer].stake)


def _decode(codec: Codec[Any], data: bytes) -> Any:
    try:
        return codec.decode(data)
    except CodecError as error:
        raise UserError(
            f"an entry of the state is none of this release ({error})", "upgrade consil"
        ) from None


def _row(one: Offence, prefix: int) -> tuple[object, ...]:
    record, vote = one.record, one.record.evidence.first
    offender, what = encode_address(record.offender, prefix), record.kind.name.lower().replace("_", " ")
    return (one.number, offender, what, vote.epoch, vote.view, record.stake, record.reported)


def _document(one: Offence, prefix: int) -> dict[str, Any]:
    type_ = find_storage(describe_runtime(), "offences.records").value
    record: dict[str, Any] = decode_value(type_, OFFENCE_RECORD.encode(one.record))
    return {"number": one.number, **record, "offender": encode_address(one.record.offender, prefix)}
