"""Two operands of different shapes, element by element, as numpy broadcasts them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from inference.bounds import Cell, union
from inference.operators.constants import ensure_channels
from inference.operators.rule import Application, Value
from inference.operators.weights import Weights


@dataclass(frozen=True, slots=True)
class Pair:
    """The two inputs of an operator, for each index of one dimension of its output."""

    dtype: str
    shape: tuple[int, ...]
    """Of the output."""
    axis: int
    left: Sequence[Cell]
    right: Sequence[Cell]


def pair(application: Application, *dtypes: str) -> Pair:
    """Two inputs of one type and of shapes that broadcast; one may be a constant. Raises Refused.

    The cells run along a dimension along which a computed input has cells, that with the longer numbers if
    both have; if none has, along one along which a constant varies. Whatever varies along others as well gets
    the cell of all those.
    """
    left, right = (_side(application, index, dtypes) for index in range(2))
    if left.constant is not None and right.constant is not None:
        application.refuse("both inputs are constants: fold them into one")
    if left.dtype != right.dtype:
        application.refuse(f"{left.dtype} meets {right.dtype}")
    shape = broadcast(application, left.shape, right.shape)
    axis = max(0, len(shape) - 1)
    for value in sorted((left, right), key=_weight):
        offset = len(shape) - len(value.shape)
        if value.constant is not None:
            axis = max([offset + at for at, size in enumerate(value.shape) if size > 1], default=axis)
        elif value.bounds.axis is not None:
            axis = offset + value.bounds.axis
    sides = [_cells(application, value, axis - len(shape), shape) for value in (left, right)]
    count = max(len(side) for side in sides)
    application.work.spend_cells(count)
    return Pair(
        left.dtype, shape, axis, *(side if len(side) == count else [side[0]] * count for side in sides)
    )


def _weight(value: Value) -> int:
    """Of the inputs whose cells run along different dimensions, the heavier keeps its own."""
    return -1 if value.constant is not None else value.bounds.whole().magnitude


def broadcast(application: Application, left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
    """The shape of the result. Raises Refused if there is none, or if it is too large."""
    rank = max(len(left), len(right))
    one = (1,) * rank
    sizes = list(
        zip((*one, *left)[-rank:] if rank else (), (*one, *right)[-rank:] if rank else (), strict=True)
    )
    if any(a != b and 1 not in (a, b) for a, b in sizes):
        application.refuse(f"the shapes {list(left)} and {list(right)} do not meet")
    shape = tuple(max(a, b) for a, b in sizes)
    application.ensure_shape(shape)
    return shape


def _side(application: Application, index: int, dtypes: tuple[str, ...]) -> Value:
    value = application.inputs[index]
    if value is None:
        application.refuse("both inputs must be there")
    if value.constant is not None:
        application.constant(index, *dtypes)
        return value
    return application.computed(index, *dtypes)


def _cells(application: Application, value: Value, axis: int, shape: tuple[int, ...]) -> Sequence[Cell]:
    """One cell, or one for each index of the dimension `axis`, counted from the end: -1 is the last."""
    uniform = value.constant is None and value.bounds.axis is None
    if uniform or -axis > len(value.shape) or not value.shape or value.shape[axis] == 1:
        return [_whole(application, value)]
    if value.constant is not None:
        return grouped(application, value, len(value.shape) + axis)
    return value.bounds.at(len(value.shape) + axis, shape[axis])


def _whole(application: Application, value: Value) -> Cell:
    if value.constant is None:
        return value.bounds.whole()
    return Weights(value.constant, application).cell(slice(None))


def grouped(application: Application, value: Value, axis: int) -> list[Cell]:
    """For each index of a dimension of a constant, the cell of all its numbers there. Raises Refused."""
    assert value.constant is not None
    size, inner = value.shape[axis], prod(value.shape[axis + 1 :])
    ensure_channels(size, application)
    weights = Weights(value.constant, application)
    application.work.spend_cells(size)
    if inner == 1:
        return [weights.cell(slice(at, None, size)) for at in range(size)]
    outer = range(0, value.elements, size * inner)
    application.work.spend_cells(size * len(outer))
    return [
        _union(weights.cell(slice(start + at * inner, start + (at + 1) * inner)) for start in outer)
        for at in range(size)
    ]


def _union(cells: Iterable[Cell]) -> Cell:
    """Of constants: zero is a multiple of every step."""
    known = list(cells)
    return union([cell for cell in known if cell.low or cell.high] or known[:1])
