"""What a node costs beyond its arithmetic: how its elements lie in memory, and how many calls it takes.

A copy in pieces of four bytes takes fifty times as long as one in a piece, a product of two numbers a
thousand times as long as a product among many. Each price is in units of gas, of 18 ps, and about half or
more of what `benchmarks.gas` measures for graphs that do little else; docs/gas.md has the table.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Final

from inference.operators.rule import Application, Value
from inference.tensor import ITEM_BYTES, Shape

Cost = Callable[[Application, Sequence[Value]], int]

WRITTEN_BYTE: Final = 4
"""A byte that a node writes."""
PASSED_ON: Final = 1
"""An element that only gets another shape: engines copy none."""
WIDE: Final = 16
"""A number of eight bytes that is limited or compared, besides being written."""
PIECE: Final = 400
"""A run of elements that lie together and are copied, or computed with, at one time."""
SPREAD: Final = 800
"""The same where it is repeated."""
SPAN: Final = 600
"""A run of elements that meet others in the same way."""
DIVIDED: Final = 40
"""A quotient or root."""
JOINED: Final = 150
"""A piece of a Split or Concat."""
TURNED: Final = 220
"""A run of numbers that a Transpose moves; twice that if they have eight bytes."""
TURNED_RANK: Final = 200
"""The same for each dimension beyond the third."""
STRIDED: Final = 100
"""An element taken from among others."""
REPEATED: Final = 32
"""An element of a Resize."""

CALL: Final = 8_000
"""A product of two computed matrices."""
ROW: Final = 300
"""A row of a product."""
OPERAND: Final = 16
"""An element of a computed matrix that is arranged for a product."""
COLUMNS: Final = 16
"""Into so many columns, or a multiple."""
WEIGHT: Final = 4
"""A constant that is read for a product."""

POSITION: Final = 200
"""A place of a kernel."""
TAP: Final = 14
"""A number that a kernel meets at a place."""
GROUP: Final = 200
"""A group of channels of one image."""
IMAGE: Final = 1_500
"""An image of a batch."""
CONVOLVED: Final = 24
"""An element that a convolution writes."""

POOLED: Final = 60
"""An element that a MaxPool writes."""
POOLED_TAP: Final = 4
"""A number that its window meets."""
SLOW_TAP: Final = 160
"""The same in a dilated window, or of bytes."""
PLANE: Final = 150
"""A channel of one image."""

REDUCED: Final = 8
"""An element of a run that is reduced."""
REDUCED_WIDE: Final = 30
"""The same of eight bytes."""
REDUCED_RUN: Final = 200
"""A run of those."""
REDUCED_APART: Final = 45
"""An element that is reduced with others that lie elsewhere."""
REDUCED_TO: Final = 60
"""An element that those are reduced to."""
RANKED: Final = 200
"""An element that is ranked, for each bit of how many are wanted."""

LOOKUP: Final = 400
"""A row of a table."""
LOOKUP_BEYOND: Final = 250
"""The same for each doubling of a table beyond what a near cache holds."""
NEAR_BITS: Final = 18
"""The logarithm of the bytes that it holds."""
LINE_BITS: Final = 6
"""And of those that come into it together."""
ELEMENT_LOOKUP: Final = 80
"""An element of a table of one dimension, by GatherElements."""


def handling(application: Application, outputs: Sequence[Value]) -> int:
    """The units of gas of a node that was proved."""
    operator = application.node.operator
    if operator in _PASSING:
        return PASSED_ON * sum(value.elements for value in outputs)
    written = WRITTEN_BYTE * sum(value.bytes for value in outputs)
    cost = _COSTS.get(operator)
    return written + (cost(application, outputs) if cost else 0)


def _computed(application: Application) -> Value:
    return next(value for value in application.inputs if value is not None and value.constant is None)


def _inner(shape: Shape, alike: Callable[[int], bool]) -> int:
    """The elements of the last dimensions, as long as those are `alike`."""
    count = 1
    for axis in reversed(range(len(shape))):
        if not alike(axis):
            break
        count *= shape[axis]
    return count


def _limit(application: Application, outputs: Sequence[Value]) -> int:
    return WIDE * outputs[0].elements if ITEM_BYTES[outputs[0].dtype] == 8 else 0


def _between(application: Application, outputs: Sequence[Value]) -> int:
    """Two operands of shapes that broadcast."""
    shape = outputs[0].shape
    sides = [(1,) * (len(shape) - len(each.shape)) + each.shape for each in application.inputs if each]
    kinds = [tuple(side[axis] == 1 for side in sides) for axis in range(len(shape))]
    told = [kind for axis, kind in enumerate(kinds) if shape[axis] > 1]
    run = _inner(shape, lambda axis: shape[axis] == 1 or kinds[axis] == told[-1])
    return SPAN * (outputs[0].elements // run)


def _divided(application: Application, outputs: Sequence[Value]) -> int:
    return _between(application, outputs) + DIVIDED * outputs[0].elements


def _compared(application: Application, outputs: Sequence[Value]) -> int:
    return _between(application, outputs) + _limit(application, outputs)


def _transpose(application: Application, outputs: Sequence[Value]) -> int:
    """Dimensions of one element may go anywhere."""
    x = _computed(application)
    order = [axis for axis in application.ints("perm") if x.shape[axis] > 1]
    at = dict(enumerate(order))
    kept = sorted(order)
    sizes = tuple(x.shape[axis] for axis in order)
    run = _inner(sizes, lambda place: at[place] == kept[place])
    each = TURNED * max(1, ITEM_BYTES[x.dtype] // 4) + TURNED_RANK * max(0, len(order) - 3)
    return each * (x.elements // run)


def _slice(application: Application, outputs: Sequence[Value]) -> int:
    x, shape = _computed(application), outputs[0].shape
    apart = len(application.inputs) > 4 and any(step > 1 for step in application.whole_numbers(4, most=8))
    pieces = prod(shape[: max(0, len(shape) - _trailing(x.shape, shape) - 1)])
    return PIECE * pieces + (STRIDED * outputs[0].elements if apart else 0)


def _trailing(before: Shape, after: Shape) -> int:
    """How many of the last dimensions are the same."""
    count = 0
    for one, other in zip(reversed(before), reversed(after), strict=True):
        if one != other:
            break
        count += 1
    return count


def _along(application: Application, outputs: Sequence[Value]) -> int:
    """Split and Concat: one piece for each index before the dimension, and each part."""
    shape = outputs[0].shape
    axis = application.axis("axis", len(shape))
    return JOINED * prod(shape[:axis]) * max(len(outputs), len(application.inputs))


def _pad(application: Application, outputs: Sequence[Value]) -> int:
    x, shape = _computed(application), outputs[0].shape
    inner = _trailing(x.shape, shape)
    return PIECE * prod(shape[: max(0, len(shape) - inner - 1)])


def _gather(application: Application, outputs: Sequence[Value]) -> int:
    data, indices = application.inputs
    assert data is not None
    assert indices is not None
    if data.constant is None:
        axis = application.axis("axis", len(data.shape))
        return PIECE * prod(data.shape[:axis]) * indices.elements
    beyond = _beyond(data.bytes, NEAR_BITS)
    each = ELEMENT_LOOKUP if application.node.operator == "GatherElements" else LOOKUP
    return (each + LOOKUP_BEYOND * beyond) * indices.elements


def _expand(application: Application, outputs: Sequence[Value]) -> int:
    x, shape = _computed(application), outputs[0].shape
    sizes = (1,) * (len(shape) - len(x.shape)) + x.shape
    return SPREAD * (x.elements // _inner(shape, lambda axis: sizes[axis] == shape[axis]))


def _resize(application: Application, outputs: Sequence[Value]) -> int:
    return REPEATED * outputs[0].elements


def _product(application: Application, outputs: Sequence[Value]) -> int:
    """Weights are arranged once, when the model is loaded; several rows of them make one call."""
    left, right = application.inputs[:2]
    assert left is not None
    assert right is not None
    shape = outputs[0].shape
    rows = ROW * prod(shape[:-1])
    if right.constant is not None and right.elements == prod(right.shape[-2:]):
        return rows + WEIGHT * right.elements
    columns = -(-right.shape[-1] // COLUMNS) * COLUMNS
    operands = prod(left.shape[-2:]) + prod(right.shape[-2:-1]) * columns
    return rows + prod(shape[:-2]) * (CALL + OPERAND * operands)


def _convolution(application: Application, outputs: Sequence[Value]) -> int:
    x, y = _computed(application), outputs[0]
    group = application.integer("group")
    taps = prod(application.ints("kernel_shape"))
    if application.node.operator == "ConvTranspose":
        places, met = prod(x.shape[2:]), x.elements * (y.shape[1] // group) * taps
    else:
        places, met = prod(y.shape[2:]), y.shape[0] * prod(y.shape[2:]) * x.shape[1] * taps
    images = x.shape[0] * (IMAGE + GROUP * group + POSITION * places)
    return images + TAP * met + CONVOLVED * y.elements


def _pool(application: Application, outputs: Sequence[Value]) -> int:
    y = outputs[0]
    slow = y.dtype != "float32" or max(application.ints("dilations")) > 1
    taps = y.elements * prod(application.ints("kernel_shape"))
    return PLANE * prod(y.shape[:2]) + POOLED * y.elements + (SLOW_TAP if slow else POOLED_TAP) * taps


def _reduce(application: Application, outputs: Sequence[Value]) -> int:
    """Of the last dimensions, or of others."""
    x, y = _computed(application), outputs[0]
    given = application.attributes.get("axes")
    listed = application.ints("axes") if given is not None else application.whole_numbers(1, most=8)
    axes = {axis % len(x.shape) for axis in listed}
    if sorted(axes) == list(range(len(x.shape) - len(axes), len(x.shape))):
        each = REDUCED_WIDE if ITEM_BYTES[x.dtype] == 8 else REDUCED
        return each * x.elements + REDUCED_RUN * y.elements
    return REDUCED_APART * x.elements + REDUCED_TO * y.elements


def far(x: Value) -> int:
    """What a look at any number of a row of x costs more than at one that a near cache holds."""
    row_bytes = x.bytes // x.shape[0]
    return LOOKUP_BEYOND * min(_beyond(x.bytes, NEAR_BITS), _beyond(row_bytes, LINE_BITS))


def _beyond(size_bytes: int, bits: int) -> int:
    """How often 2^bits bytes double until there are so many."""
    return max(0, (size_bytes - 1).bit_length() - bits)


def _rank(application: Application, outputs: Sequence[Value]) -> int:
    count = outputs[0].elements if application.node.operator == "TopK" else 1
    return RANKED * _computed(application).elements * count.bit_length()


_PASSING: Final = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that move nothing."""

_COSTS: Final[Mapping[str, Cost]] = {
    **dict.fromkeys(("Add", "Mul", "Sub"), _between),
    **dict.fromkeys(("Div", "Sqrt"), _divided),
    **dict.fromkeys(("Max", "Min"), _compared),
    **dict.fromkeys(("ArgMax", "TopK"), _rank),
    **dict.fromkeys(("Concat", "Split"), _along),
    **dict.fromkeys(("Conv", "ConvTranspose"), _convolution),
    **dict.fromkeys(("Gather", "GatherElements"), _gather),
    **dict.fromkeys(("Gemm", "MatMul"), _product),
    **dict.fromkeys(("ReduceMax", "ReduceMin", "ReduceSum"), _reduce),
    "Clip": _limit,
    "Expand": _expand,
    "MaxPool": _pool,
    "Pad": _pad,
    "Resize": _resize,
    "Slice": _slice,
    "Transpose": _transpose,
}
