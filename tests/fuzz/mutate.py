"""Messages spoilt with their structure in mind: in the tree of values, in its spelling, in the bytes."""

from dataclasses import dataclass
from random import Random
from typing import Any, Final

import msgpack

DEPTHS: Final = (2, 40, 900, 20_000)
LENGTHS: Final = (0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536, 2**31 - 1, 2**32 - 1)


@dataclass(frozen=True)
class Raw:
    """Bytes that stand for a value as they are."""

    data: bytes


JUNK: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 127, 128, 2**16, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)),
    *(
        b"",
        "",
        [],
        [[]],
        b"\x00" * 31,
        b"\x00" * 32,
        b"\xff" * 33,
        b"\xff" * 64,
        "a" * 70,
        [0] * 200,
        [b""] * 70,
    ),
    *(1.5, float("nan"), float("inf"), Raw(b"\x80"), Raw(b"\x81\x01\x02"), Raw(b"\xc1")),
    *(Raw(b"\xa2\xff\xfe"), Raw(b"\xa3\xed\xa0\x80"), Raw(b"\xd9\x01\xc3"), Raw(b"\xd6\xff\x00\x00\x00\x01")),
    *(Raw(b"\xc7\x00\x05"), Raw(b"\xd4\x01\x00"), Raw(b"\xc9\xff\xff\xff\xff\x00"), Raw(b"")),
)
"""What no field expects: bounds, wrong types, text that is no UTF-8, maps, extensions, nothing at all."""

HEADS: Final = (
    b"\x90",
    b"\x91",
    b"\x9f",
    b"\xc4",
    b"\xc6",
    b"\xdc",
    b"\xdd",
    b"\xdf",
    b"\xdb",
    b"\xc9",
    b"\xcf",
)
"""First bytes of lists, texts, maps and numbers; a length that is a lie follows."""

_STAND_IN: Final = b"stands in for something raw"


def mutate_tree(tree: Any, random: Random) -> Any:
    """A copy of `tree` with one to three of its parts spoilt."""
    for _ in range(random.randint(1, 3)):
        tree = _spoil(tree, random)
    return tree


def spell(tree: Any) -> bytes:
    """MessagePack of `tree`, with whatever is Raw in it as it is."""
    raw: list[bytes] = []

    def stand_in(found: Raw) -> bytes:
        raw.append(found.data)
        return _STAND_IN + len(raw).to_bytes(2, "big")

    data: bytes = msgpack.packb(tree, default=stand_in)
    for number, found in enumerate(raw, start=1):
        data = data.replace(msgpack.packb(_STAND_IN + number.to_bytes(2, "big")), found)
    return data


def spell_loosely(tree: Any, random: Random) -> bytes:
    """MessagePack of `tree` in which some lengths and numbers are spelled longer than they need be."""
    longer = random.random() < 0.2
    match tree:
        case None | bool():
            return spell(tree)
        case int():
            return b"\xcf" + tree.to_bytes(8, "big") if longer and tree >= 0 else spell(tree)
        case bytes():
            return b"\xc6" + len(tree).to_bytes(4, "big") + tree if longer else spell(tree)
        case str():
            text = tree.encode()
            return b"\xdb" + len(text).to_bytes(4, "big") + text if longer else spell(tree)
        case _:
            long = b"\xdd" + len(tree).to_bytes(4, "big")
            short = bytes([0x90 | len(tree)]) if len(tree) < 16 else long
            return (long if longer else short) + b"".join(spell_loosely(part, random) for part in tree)


def mutate_bytes(data: bytes, other: bytes, random: Random) -> bytes:
    """`data` with one to four faults; `other` is another message, parts of which may get in."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(changed) + 1)
        end = min(len(changed), at + random.choice((1, 1, 2, 4, 32, 200)))
        match random.randrange(8):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << random.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                del changed[at:end]
            case 3:
                changed[at:at] = changed[at:end] * random.choice((1, 3, 50))
            case 4:
                changed[at:end] = random.randbytes(random.randint(0, 8))
            case 5:
                changed[at:at] = other[random.randrange(len(other) + 1) :][:200]
            case 6:
                length = random.choice(LENGTHS)
                changed[at:end] = random.choice(HEADS) + length.to_bytes(random.choice((4, 8)), "big")
            case _:
                changed[at:end] = b"\x91" * random.choice(DEPTHS)
    return bytes(changed)


def _spoil(tree: Any, random: Random) -> Any:
    """One fault somewhere in a copy of `tree`."""
    if not isinstance(tree, list) or not tree or random.random() < 0.1:
        return _instead(tree, random)
    changed = list(tree)
    at = random.randrange(len(changed))
    match random.randrange(9):
        case 0:
            del changed[at]
        case 1:
            times = (1, 2, 20) if isinstance(changed[at], list) else (1, 130, 600)
            changed[at:at] = [changed[at]] * random.choice(times)
        case 2:
            other = random.randrange(len(changed))
            changed[at], changed[other] = changed[other], changed[at]
        case 3:
            changed.append(random.choice(JUNK))
        case _:
            changed[at] = _spoil(changed[at], random)
    return changed


def _instead(value: Any, random: Random) -> Any:
    """Something in the place of a value: close to it, of another type, or nested."""
    match random.randrange(6):
        case 0 if isinstance(value, int):
            return min(2**64 - 1, max(-(2**63), value + random.choice((-1, 1, 2**32))))
        case 0 | 1 if isinstance(value, bytes | str) and value:
            return random.choice((value[:-1], value * 2, value[: len(value) // 2], value * 40))
        case 2:
            return Raw(b"\x91" * random.choice(DEPTHS) + b"\xc0")
        case 3:
            return [value]
        case _:
            return random.choice(JUNK)
