"""Blocks, transactions and events, decoded by the metadata for people and for `--json`."""

from collections.abc import Sequence
from typing import Any

from cli.chain import Chain
from cli.errors import UserError
from cli.lookup import find_pallet, name_call
from frame.metadata import FieldInfo, TypeInfo, decode_fields
from primitives.codec import CodecError
from primitives.extrinsic import CALL, Call, Extrinsic, decode_extrinsic, extrinsic_hash


def decode_event(chain: Chain, record: dict[str, Any]) -> dict[str, Any]:
    """Name and fields of an event as the node reports it."""
    pallet = find_pallet(chain.metadata, record["pallet"])
    for event in pallet.events:
        if event.name == record["event"]:
            return {"event": f"{pallet.name}.{event.name}", "fields": _decode(event.fields, record["fields"])}
    return {"event": f"{record['pallet']}.{record['event']}", "fields": record["fields"]}


def show_event(chain: Chain, event: dict[str, Any]) -> str:
    """One line for a decoded event."""
    pallet, _, name = event["event"].partition(".")
    types = {info.name: info.fields for info in find_pallet(chain.metadata, pallet).events}
    return f"{event['event']}  {_show(chain, types.get(name, ()), event['fields'])}".rstrip()


def decode_call(chain: Chain, call: Call) -> dict[str, Any]:
    """Name and arguments of a call; the indices alone if the metadata has no such call."""
    data = f"0x{call.arguments.hex()}"
    try:
        pallet, info = name_call(chain.metadata, call.pallet, call.function)
    except LookupError:
        return {"call": f"{call.pallet}.{call.function}", "arguments": data}
    return {"call": f"{pallet.name}.{info.name}", "arguments": _decode(info.parameters, data)}


def show_call(chain: Chain, call: dict[str, Any]) -> str:
    """One line for a decoded call."""
    for pallet in chain.metadata.pallets:
        for info in pallet.calls:
            if call["call"] == f"{pallet.name}.{info.name}":
                return f"{call['call']}  {_show(chain, info.parameters, call['arguments'])}".rstrip()
    return str(call["call"])


def decode_inherent(chain: Chain, text: str) -> dict[str, Any]:
    """An inherent of a block, from its hexadecimal bytes."""
    try:
        return decode_call(chain, CALL.decode(bytes.fromhex(text[2:])))
    except (CodecError, ValueError):
        raise UserError("the node sent an inherent that cannot be decoded", "ask another node") from None


def decode_signed(chain: Chain, text: str) -> dict[str, Any]:
    """An extrinsic of a block, from its hexadecimal bytes."""
    try:
        data = bytes.fromhex(text[2:])
        extrinsic: Extrinsic = decode_extrinsic(data)
    except (CodecError, ValueError):
        raise UserError("the node sent an extrinsic that cannot be decoded", "ask another node") from None
    return {
        "hash": f"0x{extrinsic_hash(data).hex()}",
        "signer": chain.address(extrinsic.signer),
        "nonce": extrinsic.nonce,
        "tip": extrinsic.tip,
        **decode_call(chain, extrinsic.call),
    }


def explain_failure(chain: Chain, failure: dict[str, Any]) -> str:
    """A dispatch error by its name, with what the metadata says about it."""
    name = f"{failure['pallet']}.{failure['error']}"
    for pallet in chain.metadata.pallets:
        for error in pallet.errors:
            if (pallet.name, error.name) == (failure["pallet"], failure["error"]):
                return f"{name}: {error.docs.splitlines()[0].rstrip('.')}" if error.docs else name
    return name


def _decode(fields: Sequence[FieldInfo], text: str) -> Any:
    try:
        return decode_fields(fields, bytes.fromhex(text[2:]))
    except ValueError:
        return text


def _show(chain: Chain, fields: Sequence[FieldInfo], values: Any) -> str:
    if not isinstance(values, dict):
        return str(values)
    types: dict[str, TypeInfo] = {field.name: field.type for field in fields}
    return " ".join(f"{name}={chain.values.show(types[name], value)}" for name, value in values.items())
