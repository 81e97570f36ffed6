"""Constants as integers times powers of two, read from their bits: no floating-point arithmetic."""

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from inference.bounds import STEP_MAX, Cell
from inference.operators.rule import Application
from inference.tensor import Tensor

CHANNELS_MAX: Final = 65_536
"""Most channels with bounds of their own, and most terms of a sum; bounds the memory of a proof."""

_CODES: Final = {
    "float32": "<I",
    "float64": "<Q",
    "int8": "<b",
    "uint8": "<B",
    "int16": "<h",
    "int32": "<i",
    "int64": "<q",
}
"""How the bits of an element are read, as a number."""

_LAYOUTS: Final = {"float32": (8, 23), "float64": (11, 52)}
"""Bits of exponent and of fraction."""

_REMEMBERED_MAX: Final = 65_536
"""Distinct numbers whose decoding is remembered: weights repeat, being integers times a few steps."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers mantissas[i] * 2^steps[i]; a mantissa is odd or zero."""

    mantissas: Sequence[int]
    steps: Sequence[int]

    def part(self, chosen: slice) -> "Numbers":
        return Numbers(self.mantissas[chosen], self.steps[chosen])

    def cells(self) -> list[Cell]:
        """A cell that holds just that number, for each. Zero takes the largest step, as a multiple of all."""
        pairs = zip(self.mantissas, self.steps, strict=True)
        return [Cell(step if mantissa else STEP_MAX, mantissa, mantissa) for mantissa, step in pairs]


def decode(tensor: Tensor, application: Application) -> Numbers:
    """The elements of a constant, in order. Raises Refused for those that are not normal numbers."""
    application.work.spend(prod(tensor.shape))
    mantissas, steps = array("q"), array("h")
    known: dict[int, tuple[int, int]] = {}
    for (bits,) in struct.iter_unpack(_CODES[tensor.dtype], tensor.data):
        pair = known.get(bits)
        if pair is None:
            pair = significand(bits, tensor.dtype, application)
            if len(known) < _REMEMBERED_MAX:
                known[bits] = pair
        mantissas.append(pair[0])
        steps.append(pair[1])
    return Numbers(mantissas, steps)


def significand(bits: int, dtype: str, application: Application) -> tuple[int, int]:
    """Mantissa and step of an element, given its bits, or its value if it is an integer. Raises Refused for
    what is not a normal number.

    Source: IEEE 754-2019, binary32 and binary64: sign, exponent, fraction.
    """
    if dtype not in _LAYOUTS:
        return _reduced(bits, 0)
    exponent_bits, fraction_bits = _LAYOUTS[dtype]
    exponent, fraction = bits >> fraction_bits & ((1 << exponent_bits) - 1), bits & ((1 << fraction_bits) - 1)
    if exponent == (1 << exponent_bits) - 1:
        application.refuse("a constant is infinite or not a number")
    if exponent == 0:
        if fraction:
            application.refuse("a constant is subnormal")
        return 0, 0
    mantissa = fraction | 1 << fraction_bits
    negative = bits >> (exponent_bits + fraction_bits)
    bias = (1 << (exponent_bits - 1)) - 1
    return _reduced(-mantissa if negative else mantissa, exponent - bias - fraction_bits)


def _reduced(value: int, step: int) -> tuple[int, int]:
    """An odd mantissa, or zero."""
    trailing = (value & -value).bit_length() - 1 if value else 0
    return value >> trailing, step + trailing if value else 0


def scalar(index: int, dtype: str, application: Application) -> Cell:
    """The constant input `index`, a single number."""
    tensor = application.constant(index, dtype)
    if tensor.shape:
        application.refuse(f"input {index} must be a single number of rank 0")
    return decode(tensor, application).cells()[0]


def ensure_channels(channels: int, application: Application) -> None:
    """Raises Refused above CHANNELS_MAX."""
    if channels > CHANNELS_MAX:
        application.refuse(f"{channels} channels, more than {CHANNELS_MAX}")
