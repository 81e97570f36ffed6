"""The canonical codec: one value, one string of bytes.

The wire format is MessagePack; records are arrays of their fields in order. A decoder accepts bytes only if
encoding what it decoded gives the same bytes, because MessagePack itself allows several spellings of one
integer or length. Types with more than one reading, such as floats and maps, are refused when the codec is
built.

Source: MessagePack specification; `msgspec` encodes every integer and length in its shortest form.
"""

from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

T = TypeVar("T")


class CodecError(ValueError):
    """The bytes are not the canonical form of any value of the type, or the value is outside its type."""


class Record(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """Base of everything that is hashed, signed, stored or sent: an immutable array of typed fields.

    It can be part of no cycle, so that the garbage collector need not look at it. Subclasses repeat
    `frozen=True`, for type checkers.
    """


_LEAVES = (inspect.NoneType, inspect.BoolType, inspect.StrType, inspect.BytesType, inspect.EnumType)
_ENCODER = msgspec.msgpack.Encoder()


class Codec(Generic[T]):
    """Encodes and decodes one type, canonically in both directions."""

    def __init__(self, type_: Any) -> None:
        """Raises TypeError for a type that has no canonical form."""
        _ensure_canonical(inspect.type_info(type_), frozenset())
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(type_)

    def encode(self, value: T) -> bytes:
        """The bytes of `value`. Raises CodecError if a number or length in it is outside its type."""
        try:
            data = _ENCODER.encode(value)
        except UnicodeEncodeError as error:
            raise CodecError(str(error)) from None
        self._read(data)
        return data

    def decode(self, data: bytes) -> T:
        """The value of which `data` is the canonical form. Raises CodecError if there is none."""
        value = self._read(data)
        if _ENCODER.encode(value) != data:
            raise CodecError("not in canonical form")
        return value

    def _read(self, data: bytes) -> T:
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CodecError(str(error)) from None


def spell(value: Any) -> bytes:
    """The bytes of a value all of which was decoded before: `Codec.encode` would only check it again."""
    return _ENCODER.encode(value)


def _ensure_canonical(info: inspect.Type, parents: frozenset[type]) -> None:
    """Walk a type and refuse what could be spelled in two ways or grow without a bound."""
    match info:
        case inspect.IntType(ge=low, le=high) if low is not None and high is not None:
            inner: list[inspect.Type] = []
        case _ if isinstance(info, _LEAVES):
            inner = []
        case inspect.TupleType(item_types=items):
            inner = list(items)
        case inspect.VarTupleType(item_type=item):
            inner = [item]
        case inspect.UnionType(types=options):
            inner = list(options)
        case inspect.StructType(cls=cls, array_like=True, fields=fields):
            inner = [] if cls in parents else [field.type for field in fields]
            parents = parents | {cls}
        case inspect.Metadata(type=wrapped):
            inner = [wrapped]
        case _:
            raise TypeError(f"{info} has no canonical form")
    for part in inner:
        _ensure_canonical(part, parents)
