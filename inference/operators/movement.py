"""Operators that move all elements, or repeat them, and compute nothing: their cells stay what they are."""

from collections.abc import Sequence
from math import prod

from inference.operators.broadcasting import broadcast
from inference.operators.rule import INTS, REQUIRED, Application, Rule, Value
from inference.tensor import ITEM_BYTES, RANK_MAX


def _identity(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, *ITEM_BYTES)
    application.work.spend_cells(len(x.bounds.cells))
    return (x,)


def _flatten(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, *ITEM_BYTES)
    axis = application.axis("axis", len(x.shape), end=True)
    return _reshaped(application, x, (prod(x.shape[:axis]), prod(x.shape[axis:])))


def _reshape(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, *ITEM_BYTES)
    if application.integer("allowzero") != 0:
        application.refuse("allowzero must be 0")
    sizes = list(application.whole_numbers(1, most=RANK_MAX))
    for index, size in enumerate(sizes):
        if size == 0 and index < len(x.shape):
            sizes[index] = x.shape[index]
    if sizes.count(-1) == 1:
        rest = prod(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = x.elements // rest if rest > 0 else 0
    return _reshaped(application, x, tuple(sizes))


def _squeeze(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, *ITEM_BYTES)
    axes = application.dimensions(application.whole_numbers(1, most=RANK_MAX), len(x.shape))
    if any(x.shape[axis] != 1 for axis in axes):
        application.refuse(f"dimensions {list(axes)} of {list(x.shape)} are not all 1")
    return _reshaped(application, x, [size for axis, size in enumerate(x.shape) if axis not in axes])


def _unsqueeze(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, *ITEM_BYTES)
    new = application.whole_numbers(1, most=RANK_MAX)
    axes = application.dimensions(new, len(x.shape) + len(new))
    sizes = iter(x.shape)
    rank = len(x.shape) + len(new)
    return _reshaped(application, x, [1 if axis in axes else next(sizes) for axis in range(rank)])


def _reshaped(application: Application, x: Value, shape: Sequence[int]) -> tuple[Value, ...]:
    """The elements keep their order: cells survive along a dimension with as many elements before and after
    it.
    """
    if any(size < 1 for size in shape) or prod(shape) != x.elements:
        application.refuse(f"{list(x.shape)} cannot take the shape {list(shape)}")
    application.ensure_shape(shape)
    application.work.spend_cells(len(x.bounds.cells))
    axis = _same(x.shape, shape, x.bounds.axis) if x.bounds.axis is not None else None
    bounds = x.bounds.single() if axis is None else x.bounds.moved(axis)
    return (Value(x.dtype, tuple(shape), bounds),)


def _same(before: Sequence[int], after: Sequence[int], axis: int) -> int | None:
    """The dimension of a new shape that is one of the old, if there is one."""
    for at, size in enumerate(after):
        if size == before[axis] and prod(after[:at]) == prod(before[:axis]):
            return at
    return None


def _transpose(application: Application) -> tuple[Value, ...]:
    x, order = application.computed(0, *ITEM_BYTES), application.ints("perm")
    if sorted(order) != list(range(len(x.shape))):
        application.refuse(f"perm {list(order)} does not order {len(x.shape)} dimensions")
    application.work.spend_cells(len(x.bounds.cells))
    bounds = x.bounds if x.bounds.axis is None else x.bounds.moved(order.index(x.bounds.axis))
    return (Value(x.dtype, tuple(x.shape[axis] for axis in order), bounds),)


def _expand(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, *ITEM_BYTES)
    sizes = application.whole_numbers(1, most=RANK_MAX)
    application.ensure_shape(sizes)
    shape = broadcast(application, x.shape, sizes)
    application.work.spend_cells(len(x.bounds.cells))
    bounds = x.bounds
    if bounds.axis is not None:
        bounds = bounds.moved(bounds.axis + len(shape) - len(x.shape))
    return (Value(x.dtype, shape, bounds),)


RULES = {
    "Expand": Rule(arity=range(2, 3), attributes={}, apply=_expand),
    "Flatten": Rule(arity=range(1, 2), attributes={"axis": (int, 1)}, apply=_flatten),
    "Identity": Rule(arity=range(1, 2), attributes={}, apply=_identity),
    "Reshape": Rule(arity=range(2, 3), attributes={"allowzero": (int, 0)}, apply=_reshape),
    "Squeeze": Rule(arity=range(2, 3), attributes={}, apply=_squeeze),
    "Transpose": Rule(arity=range(1, 2), attributes={"perm": (INTS, REQUIRED)}, apply=_transpose),
    "Unsqueeze": Rule(arity=range(2, 3), attributes={}, apply=_unsqueeze),
}
