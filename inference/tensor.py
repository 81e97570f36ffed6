"""A tensor as it crosses every boundary: element type, shape, little-endian bytes. No library needed."""

import struct
from math import prod
from typing import Annotated, Final

import msgspec

from primitives.codec import Record

ITEM_BYTES: Final = {
    "float32": 4,
    "float64": 8,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
}
"""Bytes per element of each element type that a tensor may have."""

INTEGER_RANGES: Final = {
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
"""Least and largest value of each integer element type."""

_FORMATS: Final = {"int8": "b", "uint8": "B", "int16": "h", "int32": "i", "int64": "q"}
"""As `struct` calls the integer element types."""

RANK_MAX: Final = 8
ELEMENTS_MAX: Final = 2**26
"""Most elements of one tensor: 256 MB of float32, far above what a worker's memory limit leaves to one
tensor.
"""

Dimension = Annotated[int, msgspec.Meta(ge=1, le=ELEMENTS_MAX)]
Shape = Annotated[tuple[Dimension, ...], msgspec.Meta(max_length=RANK_MAX)]
TypeName = Annotated[str, msgspec.Meta(min_length=4, max_length=7)]


class TensorError(ValueError):
    """The bytes are not a tensor of the shape and type that they claim."""


class Tensor(Record, frozen=True):
    """Elements in row-major order."""

    dtype: TypeName
    shape: Shape
    data: bytes


def ensure_sound(tensor: Tensor) -> None:
    """Raises TensorError unless type, shape and number of bytes agree."""
    if tensor.dtype not in ITEM_BYTES:
        raise TensorError(f"unknown element type {tensor.dtype[:16]!r}")
    sizes = tensor.shape or (1,)
    if len(sizes) > RANK_MAX or min(sizes) < 1 or max(sizes) > ELEMENTS_MAX:
        raise TensorError(f"impossible shape {sizes[:RANK_MAX]}")
    expected = prod(tensor.shape) * ITEM_BYTES[tensor.dtype]
    if len(tensor.data) != expected:
        raise TensorError(
            f"{tensor.dtype}{list(tensor.shape)} takes {expected} bytes, not {len(tensor.data)}"
        )


def integers(tensor: Tensor) -> tuple[int, ...]:
    """The elements of an integer tensor, in row-major order. Raises TensorError."""
    ensure_sound(tensor)
    if tensor.dtype not in INTEGER_RANGES:
        raise TensorError(f"{tensor.dtype} is no integer type")
    count = len(tensor.data) // ITEM_BYTES[tensor.dtype]
    return struct.unpack(f"<{count}{_FORMATS[tensor.dtype]}", tensor.data)


def from_integers(dtype: str, shape: tuple[int, ...], values: tuple[int, ...] | list[int]) -> Tensor:
    """An integer tensor of `values` in row-major order. Raises TensorError if one is outside the type."""
    if dtype not in INTEGER_RANGES:
        raise TensorError(f"{dtype[:16]!r} is no integer type")
    low, high = INTEGER_RANGES[dtype]
    if any(not low <= value <= high for value in values):
        raise TensorError(f"a value is outside {dtype}")
    data = struct.pack(f"<{len(values)}{_FORMATS[dtype]}", *values)
    tensor = Tensor(dtype=dtype, shape=shape, data=data)
    ensure_sound(tensor)
    return tensor
