"""Identity, Flatten and Reshape: the same elements in the same order."""

from collections.abc import Sequence
from math import prod

from inference.operators.rule import Application, Rule, Value
from inference.tensor import ELEMENTS_MAX, RANK_MAX, integers

_ANY = ("float32", "int32", "int16", "int8", "uint8", "int64")


def _identity(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, *_ANY)
    application.work.spend_cells(len(x.bounds.cells))
    return (x,)


def _flatten(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, *_ANY)
    axis = application.axis("axis", len(x.shape), end=True)
    return _reshaped(application, x, (prod(x.shape[:axis]), prod(x.shape[axis:])))


def _reshape(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, *_ANY)
    wanted = application.constant(1, "int64")
    if application.integer("allowzero") != 0:
        application.refuse("allowzero must be 0")
    if len(wanted.shape) != 1 or not 1 <= wanted.shape[0] <= RANK_MAX:
        application.refuse(f"the new shape must be a list of 1 to {RANK_MAX} dimensions")
    sizes = list(integers(wanted))
    for index, size in enumerate(sizes):
        if size == 0 and index < len(x.shape):
            sizes[index] = x.shape[index]
    if sizes.count(-1) == 1:
        rest = prod(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = x.elements // rest if rest > 0 else 0
    return _reshaped(application, x, tuple(sizes))


def _reshaped(application: Application, x: Value, shape: tuple[int, ...]) -> tuple[Value, ...]:
    """The elements keep their order: cells survive along a dimension with as many elements before and after
    it.
    """
    if any(not 1 <= size <= ELEMENTS_MAX for size in shape) or prod(shape) != x.elements:
        application.refuse(f"{list(x.shape)} cannot take the shape {list(shape)}")
    application.work.spend_cells(len(x.bounds.cells))
    axis = _same(x.shape, shape, x.bounds.axis) if x.bounds.axis is not None else None
    bounds = x.bounds.single() if axis is None else x.bounds.moved(axis)
    return (Value(x.dtype, shape, bounds),)


def _same(before: Sequence[int], after: Sequence[int], axis: int) -> int | None:
    """The dimension of a new shape that is one of the old, if there is one."""
    for at, size in enumerate(after):
        if size == before[axis] and prod(after[:at]) == prod(before[:axis]):
            return at
    return None


IDENTITY = Rule(arity=range(1, 2), attributes={}, apply=_identity)
FLATTEN = Rule(arity=range(1, 2), attributes={"axis": (int, 1)}, apply=_flatten)
RESHAPE = Rule(arity=range(2, 3), attributes={"allowzero": (int, 0)}, apply=_reshape)
