"""What names such as `balances.transfer` stand for in the metadata."""

from typing import TypeVar

from cli.errors import UserError
from frame.metadata import CallInfo, Metadata, PalletInfo, StorageInfo

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


def name_call(metadata: Metadata, pallet: int, function: int) -> tuple[PalletInfo, CallInfo]:
    """The call or inherent with these indices. Raises LookupError."""
    for one in metadata.pallets:
        for info in one.calls:
            if (one.index, info.index) == (pallet, function):
                return one, info
    raise LookupError(f"no call is numbered {pallet}.{function}")


def find_storage(metadata: Metadata, name: str) -> StorageInfo:
    """What `pallet.item` names. Raises UserError that lists those there are."""
    pallet, item = _split(metadata, name, "storage item")
    return _find({info.name: info for info in pallet.storage}, item, f"storage item of {pallet.name}")


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
