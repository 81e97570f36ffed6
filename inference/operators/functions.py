"""Floor, Ceil and HardSigmoid: functions of one number that stay on the lattice."""

import struct
from collections.abc import Callable
from typing import Final

from inference.bounds import Cell, subset_sum
from inference.operators.constants import decode
from inference.operators.rule import Application, Flow, Rule, Value
from inference.tensor import Tensor


def _floor(application: Application) -> tuple[Value, ...]:
    return _whole(application, lambda value, bits: value >> bits)


def _ceil(application: Application) -> tuple[Value, ...]:
    return _whole(application, lambda value, bits: -(-value >> bits))


def _whole(application: Application, change: Callable[[int, int], int]) -> tuple[Value, ...]:
    """`change` gives the integer for a number of 2^-bits."""
    x = application.computed(0, "float32", "float64")
    application.work.spend_cells(len(x.bounds.cells))
    bounds = x.bounds.mapped(
        lambda cell: (
            cell if cell.step >= 0 else Cell(0, change(cell.low, -cell.step), change(cell.high, -cell.step))
        )
    )
    return (Value(x.dtype, x.shape, application.fitting(bounds, x.dtype)),)


def _hard_sigmoid(application: Application) -> tuple[Value, ...]:
    """max(0, min(1, alpha * x + beta)), whose product and sum are exact, fused or not.

    An engine may take alpha out of the limits and merge it with what comes next: a power of two will do no
    harm.
    """
    x = application.computed(0, "float32")
    slope, shift = (_number(application, name) for name in ("alpha", "beta"))
    application.work.spend_cells(2 * len(x.bounds.cells))
    inner = x.bounds.mapped(lambda cell: subset_sum([cell.hull().times(slope.hull()), shift]))
    application.fitting(inner, "float32")
    bounds = inner.mapped(lambda cell: cell.clipped(Cell(0, 0, 0), Cell(0, 1, 1)))
    adjusted = slope.magnitude.bit_count() > 1
    return (Value("float32", x.shape, application.fitting(bounds, "float32"), adjusted=adjusted),)


def _number(application: Application, name: str) -> Cell:
    """An attribute that is a float."""
    value = application.attributes[name]
    assert isinstance(value, float)
    tensor = Tensor(dtype="float32", shape=(), data=struct.pack("<f", value))
    return decode(tensor, application).cells()[0]


RULES: Final = {
    "Ceil": Rule(arity=range(1, 2), attributes={}, apply=_ceil, flow=Flow.CUTS),
    "Floor": Rule(arity=range(1, 2), attributes={}, apply=_floor, flow=Flow.CUTS),
    "HardSigmoid": Rule(
        arity=range(1, 2), attributes={"alpha": (float, 0.2), "beta": (float, 0.5)}, apply=_hard_sigmoid
    ),
}
