"""What names such as `balances.transfer` stand for in the metadata."""

from typing import TypeVar

from cli.errors import UserError
from cli.values import Values, describe
from frame.metadata import CallInfo, Metadata, PalletInfo, StorageInfo, storage_key

T = TypeVar("T")


def find_pallet(metadata: Metadata, name: str) -> PalletInfo:
    """The pallet of that name. Raises UserError that lists those there are."""
    try:
        return metadata.pallet(name)
    except LookupError as error:
        raise UserError(str(error)) from None


def find_call(metadata: Metadata, name: str) -> tuple[PalletInfo, CallInfo]:
    """What `pallet.call` names. Raises UserError that lists those there are."""
    pallet, call = _split(metadata, name, "call")
    calls = {info.name: info for info in pallet.calls if not info.is_inherent}
    return pallet, _find(calls, call, f"call of {pallet.name}")


def find_storage(metadata: Metadata, name: str) -> StorageInfo:
    """What `pallet.item` names. Raises UserError that lists those there are."""
    pallet, item = _split(metadata, name, "storage item")
    return _find({info.name: info for info in pallet.storage}, item, f"storage item of {pallet.name}")


def encode_key(values: Values, info: StorageInfo, keys: list[str]) -> bytes:
    """The storage key of an entry, from keys as a person types them. Raises UserError."""
    wanted = ", ".join(map(describe, info.keys)) or "no key"
    if len(keys) != len(info.keys):
        raise UserError(f"{info.name} has {len(info.keys)} keys, not {len(keys)}", f"give {wanted}")
    pairs = zip(info.keys, keys, strict=True)
    parsed = [values.parse(type_, text, f"key {at}") for at, (type_, text) in enumerate(pairs, 1)]
    try:
        return storage_key(info, parsed)
    except ValueError as error:
        raise UserError(f"{info.name}: {error}", f"give {wanted}") from None


def _split(metadata: Metadata, name: str, kind: str) -> tuple[PalletInfo, str]:
    pallet, point, rest = name.partition(".")
    if not point:
        known = ", ".join(info.name for info in metadata.pallets)
        raise UserError(f"'{name}' names no {kind}", f"write PALLET.NAME with one of the pallets {known}")
    return find_pallet(metadata, pallet), rest


def _find(known: dict[str, T], name: str, kind: str) -> T:
    if name not in known:
        raise UserError(f"no {kind} is named '{name}'", f"there are {', '.join(known) or 'none'}")
    return known[name]
