"""The Protocol Buffers wire format: the part of it that ONNX files use, read without trust.

Stricter than the format asks: a field that is not in the schema, a repeated singular field (which a library
would merge in silence), a group or a wrong wire type is refused. Work is bounded by a count of items, not by
time.
Source: protobuf.dev, "Encoding".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from inference.refusal import refuse

ITEMS_MAX: Final = 400_000
"""Most fields and packed integers of one file. An exporter's 64 MB model has some ten thousand."""

FLOAT_ITEMS_MAX: Final = 4_000_000
"""The same for a float model, which only its owner reads: forests spell out many zeros."""


class WireType(IntEnum):
    """How a field's value is laid out."""

    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5


@dataclass(frozen=True, slots=True)
class Field:
    """What the schema says of one field number."""

    name: str
    type: WireType
    repeated: bool = False
    refused: str = ""
    """If not empty, why a file that has this field is refused."""


Schema = Mapping[int, Field]


@dataclass(slots=True)
class Message:
    """The known fields of one message, values in order of appearance."""

    _values: dict[str, list[int | memoryview]] = field(default_factory=dict)

    def add(self, name: str, value: int | memoryview) -> None:
        self._values.setdefault(name, []).append(value)

    def has(self, name: str) -> bool:
        return name in self._values

    def parts(self, name: str) -> list[memoryview]:
        """Every value of a length-delimited or fixed field."""
        return [value for value in self._values.get(name, []) if isinstance(value, memoryview)]

    def part(self, name: str) -> memoryview:
        """The value of a singular length-delimited or fixed field, empty if absent."""
        return (self.parts(name) or [memoryview(b"")])[0]

    def numbers(self, name: str) -> list[int]:
        """Every value of a varint field, as signed 64-bit integers."""
        return [_signed(value) for value in self._values.get(name, []) if isinstance(value, int)]

    def number(self, name: str) -> int:
        """The value of a singular varint field, 0 if absent."""
        return (self.numbers(name) or [0])[0]


class Reader:
    """Reads the messages of one file; refuses the file once it has more than `items_max` items."""

    def __init__(self, items_max: int = ITEMS_MAX) -> None:
        self._items_left = items_max

    def message(self, data: memoryview, name: str, schema: Schema) -> Message:
        """Raises Refused for anything that the schema does not expect."""
        message = Message()
        at = 0
        while at < len(data):
            self._count()
            key, at = self._varint(data, at)
            known = schema.get(key >> 3)
            if known is None:
                refuse(f"{name} has an unknown field {key >> 3}")
            if known.refused:
                refuse(known.refused)
            if message.has(known.name) and not known.repeated:
                refuse(f"{name} has {known.name} twice")
            at = self._value(data, at, key & 7, known, message)
        return message

    def packed_varints(self, message: Message, name: str) -> list[int]:
        """A repeated integer field in either of its two spellings, as signed 64-bit integers."""
        values = message.numbers(name)
        for part in message.parts(name):
            at = 0
            while at < len(part):
                self._count()
                value, at = self._varint(part, at)
                values.append(_signed(value))
        return values

    def _value(self, data: memoryview, at: int, wire_type: int, known: Field, message: Message) -> int:
        """Take one value into `message`; returns where the next field starts."""
        packed = known.repeated and known.type is not WireType.BYTES and wire_type == WireType.BYTES
        if wire_type != known.type and not packed:
            refuse(f"field {known.name} has wire type {wire_type}")
        if wire_type == WireType.VARINT:
            value, at = self._varint(data, at)
            message.add(known.name, value)
            return at
        if wire_type == WireType.BYTES:
            size, at = self._varint(data, at)
        else:
            size = 4 if wire_type == WireType.FIXED32 else 8
        if size > len(data) - at:
            refuse(f"the file is cut short inside {known.name}")
        message.add(known.name, data[at : at + size])
        return at + size

    def _varint(self, data: memoryview, at: int) -> tuple[int, int]:
        value = byte = 0
        for shift in range(0, 70, 7):
            if at >= len(data):
                refuse("the file is cut short inside a number")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        if byte >= 0x80 or value >= 1 << 64:
            refuse("a number is longer than 64 bits")
        return value, at

    def _count(self) -> None:
        self._items_left -= 1
        if self._items_left < 0:
            refuse("the file has too many fields")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def varint(value: int) -> bytes:
    """The shortest encoding of a signed 64-bit integer."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number_field(number: int, value: int) -> bytes:
    """A varint field."""
    return varint(number << 3 | WireType.VARINT) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A length-delimited field: bytes, text or a message."""
    return varint(number << 3 | WireType.BYTES) + varint(len(value)) + value


def fixed32_field(number: int, value: bytes) -> bytes:
    """A field of four bytes."""
    return varint(number << 3 | WireType.FIXED32) + value


def numbers(number: int, values: tuple[int, ...]) -> Iterator[bytes]:
    """A repeated integer field, unpacked, as ONNX's proto2 definitions have it."""
    return (number_field(number, value) for value in values)
