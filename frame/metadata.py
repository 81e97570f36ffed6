"""The metadata: plain records from which a client encodes, decodes and explains everything of a runtime.

Values pass as what JSON can hold: bytes and accounts as `0x` hexadecimal, records as objects, enumerations as
member names, amounts in smallest units. The wire form is the canonical MessagePack of the same value.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import msgpack


class IntType(msgspec.Struct, frozen=True, tag="int"):
    """An integer within bounds."""

    min: int
    max: int


class BalanceType(msgspec.Struct, frozen=True, tag="balance"):
    """An amount of smallest units."""


class AccountType(msgspec.Struct, frozen=True, tag="account"):
    """An account of 32 bytes."""


class BytesType(msgspec.Struct, frozen=True, tag="bytes"):
    """A byte string; no maximum is None."""

    min_length: int
    max_length: int | None


class TextType(msgspec.Struct, frozen=True, tag="text"):
    """A text; lengths count characters."""

    min_length: int
    max_length: int | None


class BoolType(msgspec.Struct, frozen=True, tag="bool"):
    """True or false."""


class OptionalType(msgspec.Struct, frozen=True, tag="optional"):
    """A value or null."""

    inner: "TypeInfo"


class TupleType(msgspec.Struct, frozen=True, tag="tuple"):
    """A fixed sequence."""

    items: tuple["TypeInfo", ...]


class ListType(msgspec.Struct, frozen=True, tag="list"):
    """Any number of items within bounds."""

    item: "TypeInfo"
    min_length: int
    max_length: int | None


class CallType(msgspec.Struct, frozen=True, tag="call"):
    """A call of any pallet: an object of indices `pallet` and `function`, and `arguments`, encoded."""


class FieldInfo(msgspec.Struct, frozen=True):
    """A field of a record or event, or a parameter of a call or view."""

    name: str
    type: "TypeInfo"
    docs: str


class RecordType(msgspec.Struct, frozen=True, tag="record"):
    """Named fields; an array on the wire."""

    name: str
    fields: tuple[FieldInfo, ...]


class EnumType(msgspec.Struct, frozen=True, tag="enum"):
    """One of several names; an integer on the wire."""

    name: str
    members: dict[str, int]


TypeInfo = (
    IntType
    | BalanceType
    | AccountType
    | BytesType
    | TextType
    | BoolType
    | OptionalType
    | TupleType
    | ListType
    | RecordType
    | EnumType
    | CallType
)

CALL_FIELDS: Final = (
    FieldInfo("pallet", IntType(0, 255), ""),
    FieldInfo("function", IntType(0, 255), ""),
    FieldInfo("arguments", BytesType(0, None), ""),
)
"""Of a call as an argument of another call."""


class StorageInfo(msgspec.Struct, frozen=True):
    """A storage item."""

    name: str
    prefix: str
    """Hexadecimal; a key is this and the canonical array of the map keys."""

    keys: tuple[TypeInfo, ...]
    value: TypeInfo
    default: Any
    """What an absent entry stands for, or null."""


class CallInfo(msgspec.Struct, frozen=True):
    """A call or inherent."""

    name: str
    index: int
    call_class: str
    is_inherent: bool
    parameters: tuple[FieldInfo, ...]
    weight: tuple[int, int] | None
    """(reference time in ps, proof size in bytes), or None if it depends on the arguments."""

    docs: str


class EventInfo(msgspec.Struct, frozen=True):
    """An event."""

    name: str
    fields: tuple[FieldInfo, ...]
    docs: str


class ErrorInfo(msgspec.Struct, frozen=True):
    """An error."""

    name: str
    docs: str


class ConstantInfo(msgspec.Struct, frozen=True):
    """A value that the runtime decides."""

    name: str
    type: TypeInfo
    value: Any
    docs: str


class ViewInfo(msgspec.Struct, frozen=True):
    """A read-only query."""

    name: str
    parameters: tuple[FieldInfo, ...]
    returns: TypeInfo
    docs: str


class PalletInfo(msgspec.Struct, frozen=True):
    """A pallet."""

    name: str
    index: int
    docs: str
    storage: tuple[StorageInfo, ...]
    calls: tuple[CallInfo, ...]
    events: tuple[EventInfo, ...]
    errors: tuple[ErrorInfo, ...]
    constants: tuple[ConstantInfo, ...]
    views: tuple[ViewInfo, ...]


class Metadata(msgspec.Struct, frozen=True):
    """A runtime."""

    spec_name: str
    spec_version: int
    token_decimals: int
    pallets: tuple[PalletInfo, ...]

    def pallet(self, name: str) -> PalletInfo:
        """The pallet with this name. Raises LookupError that names those there are."""
        for pallet in self.pallets:
            if pallet.name == name:
                return pallet
        known = ", ".join(pallet.name for pallet in self.pallets)
        raise LookupError(f"no pallet is named '{name}'; there are {known}")


def encode_value(type_: TypeInfo, value: Any) -> bytes:
    """The wire form of a JSON-able value. Raises ValueError with the path of what does not fit."""
    return msgpack.encode(_to_wire(type_, value, ""))


def decode_value(type_: TypeInfo, data: bytes) -> Any:
    """The JSON-able value of a wire form. Raises ValueError if it is none of the type."""
    try:
        return _from_wire(type_, msgpack.decode(data))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not MessagePack: {error}") from None


def encode_fields(fields: Sequence[FieldInfo], values: Mapping[str, Any]) -> bytes:
    """The canonical array of arguments given by name. Raises ValueError that names what is wrong."""
    return encode_value(RecordType("arguments", tuple(fields)), values)


def decode_fields(fields: Sequence[FieldInfo], data: bytes) -> dict[str, Any]:
    """The names and values in a canonical array, such as an event's. Raises ValueError."""
    decoded: dict[str, Any] = decode_value(RecordType("arguments", tuple(fields)), data)
    return decoded


def storage_key(item: StorageInfo, keys: Sequence[Any]) -> bytes:
    """The storage key of an entry. Raises ValueError."""
    return bytes.fromhex(item.prefix) + encode_value(TupleType(item.keys), list(keys))


def _to_wire(type_: TypeInfo, value: Any, path: str) -> Any:
    match type_:
        case OptionalType(inner):
            return None if value is None else _to_wire(inner, value, path)
        case RecordType(_, fields):
            return _record_to_wire(fields, value, path)
        case CallType():
            return _record_to_wire(CALL_FIELDS, value, path)
        case EnumType(_, members):
            return members[_checked(value in list(members), value, path, f"one of {', '.join(members)}")]
        case TupleType(items):
            fits = isinstance(value, list | tuple) and len(value) == len(items)
            _checked(fits, value, path, f"{len(items)} values")
            pairs = zip(items, value, strict=True)
            return [_to_wire(inner, part, f"{path}[{at}]") for at, (inner, part) in enumerate(pairs)]
        case ListType(item, low, high):
            fits = isinstance(value, list | tuple) and _within(len(value), low, high)
            _checked(fits, value, path, f"a list of {_span(low, high)} items")
            return [_to_wire(item, part, f"{path}[{at}]") for at, part in enumerate(value)]
        case _:
            return _scalar_to_wire(type_, value, path)


def _record_to_wire(fields: Sequence[FieldInfo], value: Any, path: str) -> list[Any]:
    _checked(isinstance(value, Mapping), value, path, "an object")
    known = {field.name for field in fields}
    for name in value:
        if name not in known:
            raise ValueError(f"{_join(path, name)}: there is no such field")
    for field in fields:
        if field.name not in value and not isinstance(field.type, OptionalType):
            raise ValueError(f"{_join(path, field.name)}: missing")
    return [_to_wire(field.type, value.get(field.name), _join(path, field.name)) for field in fields]


def _scalar_to_wire(type_: TypeInfo, value: Any, path: str) -> Any:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    match type_:
        case BoolType():
            return _checked(isinstance(value, bool), value, path, "true or false")
        case IntType(low, high):
            return _checked(is_int and low <= value <= high, value, path, f"an integer from {low} to {high}")
        case BalanceType():
            return _checked(is_int and 0 <= value < 1 << 63, value, path, "an amount")
        case TextType(low, high):
            fits = isinstance(value, str) and _within(len(value), low, high)
            return _checked(fits, value, path, f"a text of {_span(low, high)} characters")
        case AccountType():
            return _bytes_to_wire(value, path, 32, 32)
        case BytesType(low, high):
            return _bytes_to_wire(value, path, low, high)
        case _:
            raise AssertionError(type_)


def _bytes_to_wire(value: Any, path: str, low: int, high: int | None) -> bytes:
    expected = f"0x and {_span(low, high)} bytes in hexadecimal"
    _checked(isinstance(value, str) and value.startswith("0x"), value, path, expected)
    try:
        data = bytes.fromhex(value[2:])
    except ValueError:
        raise ValueError(f"{path}: expected {expected}") from None
    _checked(_within(len(data), low, high), value, path, expected)
    return data


def _from_wire(type_: TypeInfo, wire: Any) -> Any:
    match type_:
        case OptionalType(inner):
            return None if wire is None else _from_wire(inner, wire)
        case RecordType(_, fields):
            return _record_from_wire(fields, wire)
        case CallType():
            return _record_from_wire(CALL_FIELDS, wire)
        case TupleType(items):
            parts = _parts(wire, len(items), len(items))
            return [_from_wire(inner, part) for inner, part in zip(items, parts, strict=True)]
        case ListType(item, low, high):
            return [_from_wire(item, part) for part in _parts(wire, low, high)]
        case EnumType(name, members):
            for member, number in members.items():
                if wire == number:
                    return member
            raise ValueError(f"no {name} is numbered {wire}")
        case _:
            value = f"0x{wire.hex()}" if isinstance(wire, bytes) else wire
            _scalar_to_wire(type_, value, "value")
            return value


def _record_from_wire(fields: Sequence[FieldInfo], wire: Any) -> dict[str, Any]:
    parts = _parts(wire, len(fields), len(fields))
    return {field.name: _from_wire(field.type, part) for field, part in zip(fields, parts, strict=True)}


def _parts(wire: Any, low: int, high: int | None) -> list[Any]:
    if not isinstance(wire, list) or not _within(len(wire), low, high):
        raise ValueError(f"expected an array of {_span(low, high)}")
    return wire


def _checked(fits: bool, value: Any, path: str, expected: str) -> Any:
    if not fits:
        raise ValueError(f"{path or 'value'}: expected {expected}")
    return value


def _within(length: int, low: int, high: int | None) -> bool:
    return length >= low and (high is None or length <= high)


def _span(low: int, high: int | None) -> str:
    if high is None:
        return f"at least {low}"
    return str(low) if low == high else f"{low} to {high}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
