"""Constants as integers times a power of two, read from their bits: no floating-point arithmetic."""

from inference.bounds import STEP_MAX, Bounds, Cell
from inference.operators.rule import Application, Value
from inference.tensor import INTEGER_RANGES, Tensor, integers

ZERO = Cell(STEP_MAX, 0, 0)
"""Zero is a multiple of every step; the largest leaves a sum's step to the other terms."""


def cells(tensor: Tensor, application: Application) -> list[Cell]:
    """A cell that holds just one number for each element, in order. Raises Refused."""
    application.work.spend(max(1, len(tensor.data) // 4))
    if tensor.dtype in INTEGER_RANGES:
        return [Cell(0, value, value) for value in integers(tensor)]
    if tensor.dtype != "float32":
        application.refuse(f"{tensor.dtype} constants are not allowed")
    known: dict[bytes, Cell] = {}
    found = []
    for at in range(0, len(tensor.data), 4):
        bits = tensor.data[at : at + 4]
        cell = known.get(bits)
        if cell is None:
            cell = known[bits] = _float32(int.from_bytes(bits, "little"), application)
        found.append(cell)
    return found


def _float32(bits: int, application: Application) -> Cell:
    """Source: IEEE 754-2019, binary32: sign, 8 bits of exponent, 23 bits of fraction."""
    exponent, fraction = bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent == 0xFF:
        application.refuse("a constant is infinite or not a number")
    if exponent == 0:
        if fraction:
            application.refuse("a constant is subnormal")
        return ZERO
    mantissa, step = fraction | 1 << 23, exponent - 127 - 23
    trailing = (mantissa & -mantissa).bit_length() - 1
    mantissa >>= trailing
    value = -mantissa if bits >> 31 else mantissa
    return Cell(step + trailing, value, value)


def per_channel(tensor: Tensor, other: Value, application: Application) -> list[Cell]:
    """The cells of a constant that meets `other` element by element: one, or one per index of its last
    dimension."""
    size = tensor.shape[-1] if tensor.shape else 1
    along = other.shape[-1] if other.shape else 1
    inner = all(dimension == 1 for dimension in tensor.shape[:-1])
    if not inner or size not in (1, along) or len(tensor.shape) > len(other.shape):
        application.refuse(f"a constant {list(tensor.shape)} is neither one number nor one per channel")
    return cells(tensor, application)


def scalar(index: int, dtype: str, application: Application) -> Cell:
    """The constant input `index`, a single number."""
    tensor = application.constant(index, dtype)
    if tensor.shape:
        application.refuse(f"input {index} must be a single number of rank 0")
    return cells(tensor, application)[0]


def spread(bounds: Bounds, channels: int) -> list[Cell]:
    """One cell for each of `channels`."""
    return [bounds.channel(index) for index in range(channels)]
