"""Constants as integers times powers of two, read from their bits: no floating-point arithmetic."""

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from inference.bounds import STEP_MAX, Bounds, Cell
from inference.operators.rule import Application, Value
from inference.tensor import INTEGER_RANGES, Tensor, integers

CHANNELS_MAX: Final = 65_536
"""Most channels with bounds of their own, and most terms of a sum; bounds the memory of a proof."""

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
    """The elements of a float32 constant, in order. Raises Refused for those that are not normal numbers."""
    application.work.spend(len(tensor.data) // 4)
    mantissas, steps = array("i"), array("h")
    known: dict[int, tuple[int, int]] = {}
    for (bits,) in struct.iter_unpack("<I", tensor.data):
        pair = known.get(bits)
        if pair is None:
            pair = _float32(bits, application)
            if len(known) < _REMEMBERED_MAX:
                known[bits] = pair
        mantissas.append(pair[0])
        steps.append(pair[1])
    return Numbers(mantissas, steps)


def _float32(bits: int, application: Application) -> tuple[int, int]:
    """Source: IEEE 754-2019, binary32: sign, 8 bits of exponent, 23 bits of fraction."""
    exponent, fraction = bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent == 0xFF:
        application.refuse("a constant is infinite or not a number")
    if exponent == 0:
        if fraction:
            application.refuse("a constant is subnormal")
        return 0, 0
    mantissa = fraction | 1 << 23
    trailing = (mantissa & -mantissa).bit_length() - 1
    mantissa >>= trailing
    return -mantissa if bits >> 31 else mantissa, exponent - 127 - 23 + trailing


def per_channel(tensor: Tensor, other: Value, application: Application) -> list[Cell]:
    """The cells of a float32 constant that meets `other` element by element: one, or one for each channel."""
    size = tensor.shape[-1] if tensor.shape else 1
    along = other.shape[-1] if other.shape else 1
    inner = all(dimension == 1 for dimension in tensor.shape[:-1])
    if not inner or size not in (1, along) or len(tensor.shape) > len(other.shape):
        application.refuse(f"a constant {list(tensor.shape)} is neither one number nor one per channel")
    ensure_channels(size, application)
    return decode(tensor, application).cells()


def scalar(index: int, dtype: str, application: Application) -> Cell:
    """The constant input `index`, a single number."""
    tensor = application.constant(index, dtype)
    if tensor.shape:
        application.refuse(f"input {index} must be a single number of rank 0")
    if dtype in INTEGER_RANGES:
        (value,) = integers(tensor)
        return Cell(0, value, value)
    return decode(tensor, application).cells()[0]


def ensure_channels(channels: int, application: Application) -> None:
    """Raises Refused above CHANNELS_MAX."""
    if channels > CHANNELS_MAX:
        application.refuse(f"{channels} channels, more than {CHANNELS_MAX}")


def hulls(bounds: Bounds, channels: int) -> Sequence[Cell]:
    """The hull of each of `channels`."""
    if len(bounds.cells) > 1:
        return [cell.hull() for cell in bounds.cells]
    return [bounds.cells[0].hull()] * channels
