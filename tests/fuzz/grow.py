"""Values of a type as MessagePack builtins, grown from the type itself, so that no record needs samples."""

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, Final

from msgspec import inspect

from primitives.certificate import Certificate
from primitives.codec import Codec
from primitives.committee import Committee
from primitives.state_range import StateRange
from primitives.vote import Vote, VoteKind

SEED: Final = 0
"""Of what `make check` sends: the same in every run, so that it fails for a change and not for bad luck.
`make fuzz` takes a new one each time."""

DEPTH_MAX: Final = 8
ITEMS_MAX: Final = 3
"""Items of a list that is grown; mutations make longer ones."""

BYTES_MAX: Final = 48
"""Bytes and characters that are grown beyond the least that the type asks for."""


def grow(codec: Codec[Any], random: Random) -> Any:
    """Something of the shape of the codec's type and within its bounds, though perhaps without its sense."""
    return _value(_type(codec), random, 0)


@cache
def _type(codec: Codec[Any]) -> inspect.Type:
    return inspect.type_info(codec._decoder.type)


def _vote(fields: list[Any], random: Random) -> None:
    fields[3] = b"" if fields[0] == VoteKind.NULLIFY else random.randbytes(32)


def _certificate(fields: list[Any], random: Random) -> None:
    _vote(fields, random)
    bits = random.randrange(16)
    fields[4] = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    fields[5] = [random.randbytes(64) for _ in range(bits.bit_count())]


def _committee(fields: list[Any], random: Random) -> None:
    fields[1:3] = [1, random.randint(1, 9)]
    fields[4] = [[random.randbytes(32), random.randint(1, 9)] for _ in range(random.randint(1, 4))]


def _range(fields: list[Any], random: Random) -> None:
    cut = 256 - fields[1]
    fields[0] = (random.getrandbits(256) >> cut << cut).to_bytes(32, "big")


_SENSE: Final[dict[type, Callable[[list[Any], Random], None]]] = {
    Vote: _vote,
    Certificate: _certificate,
    Committee: _committee,
    StateRange: _range,
}
"""What makes fields fit each other, in records that refuse those that do not."""

SENSE: Final = 0.95
"""How often they are made to fit."""


def _value(info: inspect.Type, random: Random, depth: int) -> Any:
    match info:
        case inspect.Metadata(type=inner):
            return _value(inner, random, depth)
        case inspect.UnionType(types=options):
            return _value(_option(options, random, depth), random, depth)
        case inspect.StructType(cls=cls, fields=fields, tag=tag):
            values = [_value(field.type, random, depth + 1) for field in fields]
            if cls in _SENSE and random.random() < SENSE:
                _SENSE[cls](values, random)
            return values if tag is None else [tag, *values]
        case inspect.TupleType(item_types=items):
            return [_value(item, random, depth + 1) for item in items]
        case inspect.VarTupleType(item_type=item, min_length=low, max_length=high):
            count = _length(low, high, ITEMS_MAX if depth < DEPTH_MAX else 0, random)
            return [_value(item, random, depth + 1) for _ in range(count)]
        case _:
            return _leaf(info, random)


def _leaf(info: inspect.Type, random: Random) -> Any:
    match info:
        case inspect.IntType(ge=low, le=high):
            assert low is not None
            assert high is not None
            near = min(high, low + random.choice((0, 1, 2, 7, 300)))
            return random.choice((near, near, near, high, random.randint(low, high)))
        case inspect.BoolType():
            return random.random() < 0.5
        case inspect.BytesType(min_length=low, max_length=high):
            return random.randbytes(_length(low, high, BYTES_MAX, random))
        case inspect.StrType(min_length=low, max_length=high):
            return "".join(random.choices("az09/.:é", k=_length(low, high, BYTES_MAX, random)))
        case inspect.EnumType(cls=cls):
            return random.choice([member.value for member in cls])
        case _:
            assert isinstance(info, inspect.NoneType), info
            return None


def _option(options: tuple[inspect.Type, ...], random: Random, depth: int) -> inspect.Type:
    """One of a union; deep down one that ends there, if there is one."""
    ends = [each for each in options if isinstance(each, inspect.NoneType)]
    return ends[0] if ends and depth >= DEPTH_MAX else random.choice(options)


def _length(low: int | None, high: int | None, more: int, random: Random) -> int:
    least = low or 0
    return random.randint(least, least + more if high is None else min(high, least + more))
