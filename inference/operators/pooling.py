"""MaxPool, and sums, greatest and least over whole dimensions."""

from dataclasses import replace
from math import prod

from inference.bounds import Bounds, Cell, along, subset_sum
from inference.graph import AttributeValue
from inference.operators.constants import ensure_channels
from inference.operators.convolution import SLIDING, slid, window
from inference.operators.rule import INTS, REQUIRED, Application, Kind, Rule, Value
from inference.tensor import RANK_MAX


def _max_pool(application: Application) -> tuple[Value, ...]:
    """Padding never wins, for every window holds an element."""
    x = application.computed(0, "float32", "int8", "uint8")
    if application.integer("ceil_mode") != 0 or application.integer("storage_order") != 0:
        application.refuse("ceil_mode and storage_order must be 0")
    known = window(application, x)
    for axis, kernel in enumerate(known.kernel):
        padded = max(known.before[axis], known.after[axis])
        if padded >= kernel or (padded and known.dilations[axis] > x.shape[axis + 2]):
            application.refuse("a window can lie in the padding alone")
    shape = (*x.shape[:2], *slid(application, x, known))
    application.ensure_shape(shape)
    application.work.spend_cells(len(x.bounds.cells))
    application.work.macs += prod(shape) * prod(known.kernel)
    return (Value(x.dtype, shape, x.bounds if x.bounds.axis in (0, 1) else x.bounds.single()),)


def _reduce_sum(application: Application) -> tuple[Value, ...]:
    """The hull of all subsets, as for every sum."""
    x = application.computed(0, "float32", "float64", "int32", "int64")
    if application.integer("noop_with_empty_axes") != 0:
        application.refuse("noop_with_empty_axes must be 0")
    axes = application.dimensions(application.whole_numbers(1, most=RANK_MAX), len(x.shape))
    count = prod(x.shape[axis] for axis in axes)
    cells = x.bounds.cells
    if x.bounds.axis in axes:
        ensure_channels(len(cells), application)
        cells, count = (subset_sum(cells),), count // len(cells)
    hulls = [cell.hull() for cell in cells]
    sums = [Cell(hull.step, hull.low * count, hull.high * count) for hull in hulls]
    (value,) = _reduced(application, x, axes, along(x.bounds.axis or 0, sums))
    return (Value(x.dtype, value.shape, application.fitting(value.bounds, x.dtype)),)


def _reduce_extreme(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, "float32", "float64", "int8", "uint8", "int32", "int64")
    axes = application.dimensions(application.ints("axes"), len(x.shape))
    return _reduced(application, x, axes, x.bounds.single() if x.bounds.axis in axes else x.bounds)


def _reduce_squares(application: Application) -> tuple[Value, ...]:
    """Each square is a product of the tensor with itself, and their sum has the hull of every sum. Where the
    dimensions are kept, an element's own square is one of the terms of the sum that it broadcasts against.
    """
    x = application.computed(0, "float32", "float64")
    axes = application.dimensions(application.ints("axes"), len(x.shape))
    hull = x.bounds.whole().hull()
    total = Cell(2 * hull.step, 0, hull.magnitude**2 * prod(x.shape[axis] for axis in axes))
    (value,) = _reduced(application, x, axes, application.fitting(Bounds((total,)), x.dtype))
    return (replace(value, squares=application.node.inputs[0] if application.integer("keepdims") else ""),)


def _reduced(application: Application, x: Value, axes: tuple[int, ...], bounds: Bounds) -> tuple[Value, ...]:
    """The shape without `axes`, or with 1 for each; cells run along none of them."""
    keep = application.integer("keepdims")
    if keep not in (0, 1):
        application.refuse("keepdims must be 0 or 1")
    application.work.spend_cells(len(x.bounds.cells))
    application.work.macs += x.elements
    sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    if keep:
        return (Value(x.dtype, tuple(sizes), bounds),)
    left = [axis for axis in range(len(x.shape)) if axis not in axes]
    moved = bounds if bounds.axis is None else bounds.moved(left.index(bounds.axis))
    return (Value(x.dtype, tuple(x.shape[axis] for axis in left), moved),)


_POOL: dict[str, tuple[Kind, AttributeValue | None]] = {"ceil_mode": (int, 0), "storage_order": (int, 0)}

RULES = {
    "MaxPool": Rule(arity=range(1, 2), attributes=SLIDING | _POOL, apply=_max_pool),
    "ReduceSum": Rule(
        arity=range(2, 3),
        attributes={"keepdims": (int, 1), "noop_with_empty_axes": (int, 0)},
        apply=_reduce_sum,
    ),
    "ReduceMax": Rule(
        arity=range(1, 2), attributes={"axes": (INTS, REQUIRED), "keepdims": (int, 1)}, apply=_reduce_extreme
    ),
    "ReduceMin": Rule(
        arity=range(1, 2), attributes={"axes": (INTS, REQUIRED), "keepdims": (int, 1)}, apply=_reduce_extreme
    ),
    "ReduceSumSquare": Rule(
        arity=range(1, 2), attributes={"axes": (INTS, REQUIRED), "keepdims": (int, 1)}, apply=_reduce_squares
    ),
}
"""All but ReduceSum take their axes as an attribute, as in the operator set of canonical files."""
