"""Gemm, and MatMul with constant weights on either side or of two computed tensors."""

from collections.abc import Sequence
from math import prod
from typing import Final

from inference.bounds import Bounds, Cell, along, subset_sum, union
from inference.operators.broadcasting import broadcast
from inference.operators.constants import ensure_channels
from inference.operators.rule import Application, Flow, Rule, Value
from inference.operators.weights import Terms, Weights, products, terms

STEPS_PER_WEIGHT: Final = 3
"""What one weight costs besides being read."""


def _gemm(application: Application) -> tuple[Value, ...]:
    """x[rows, in] * W + c, where W is [in, out] or, with transB, [out, in], and c is [out]."""
    if application.attributes["alpha"] != 1.0 or application.attributes["beta"] != 1.0:
        application.refuse("alpha and beta must be 1: fold them into the weights")
    if application.integer("transA") != 0 or application.integer("transB") not in (0, 1):
        application.refuse("transA must be 0, and transB 0 or 1")
    x, weight = application.computed(0, "float32"), application.constant(1, "float32")
    if len(x.shape) != 2 or len(weight.shape) != 2:
        application.refuse("both inputs must be matrices")
    transposed = application.integer("transB") == 1
    outputs, inputs = weight.shape if transposed else weight.shape[::-1]
    _ensure_meet(application, x.shape[1], inputs)
    biases = bias(application, 2, outputs)
    weights, known = Weights(weight, application), _terms(application, x, 1, inputs, outputs)
    cells = []
    for out in range(outputs):
        chosen = slice(out * inputs, (out + 1) * inputs) if transposed else slice(out, None, outputs)
        cells.append(products(weights.values(chosen), known, biases[out : out + 1]))
    return _result(application, (x.shape[0], outputs), along(1, cells), inputs)


def bias(application: Application, index: int, outputs: int) -> list[int]:
    """An optional constant input with a number for each output; no numbers without one. Raises Refused."""
    if len(application.inputs) <= index or application.inputs[index] is None:
        return []
    constant = application.constant(index, "float32")
    if constant.shape != (outputs,):
        application.refuse(f"the bias is {list(constant.shape)}, not [{outputs}]")
    return Weights(constant, application).values(slice(None))


def _matmul(application: Application) -> tuple[Value, ...]:
    left, right = application.inputs
    if left is not None and left.constant is not None:
        return _constant_left(application)
    if right is not None and right.constant is not None:
        return _constant_right(application)
    return _dynamic(application)


def _constant_right(application: Application) -> tuple[Value, ...]:
    """x[..., in] * W[..., in, out]."""
    x, weight = application.computed(0, "float32"), application.constant(1, "float32")
    if len(weight.shape) < 2 or not x.shape or (len(weight.shape) > 2 and len(x.shape) < 2):
        application.refuse("the weights must be matrices, and input 0 of rank 1 or more")
    inputs, outputs = weight.shape[-2:]
    _ensure_meet(application, x.shape[-1], inputs)
    batch = broadcast(application, x.shape[:-2], weight.shape[:-2])
    weights, known = Weights(weight, application), _terms(application, x, len(x.shape) - 1, inputs, outputs)
    block = inputs * outputs
    cells = [
        _over_batches(application, weights, known, range(out, len(weights), block), block, outputs)
        for out in range(outputs)
    ]
    shape = (*batch, *x.shape[-2:-1], outputs)
    return _result(application, shape, along(len(shape) - 1, cells), inputs)


def _constant_left(application: Application) -> tuple[Value, ...]:
    """W[..., out, in] * x[..., in, columns]."""
    weight, x = application.constant(0, "float32"), application.computed(1, "float32")
    if len(weight.shape) < 2 or len(x.shape) < 2:
        application.refuse("both inputs must be matrices")
    outputs, inputs = weight.shape[-2:]
    _ensure_meet(application, x.shape[-2], inputs)
    batch = broadcast(application, weight.shape[:-2], x.shape[:-2])
    weights, known = Weights(weight, application), _terms(application, x, len(x.shape) - 2, inputs, outputs)
    block = inputs * outputs
    cells = [
        _over_batches(application, weights, known, range(out * inputs, len(weights), block), inputs, 1)
        for out in range(outputs)
    ]
    shape = (*batch, outputs, x.shape[-1])
    return _result(application, shape, along(len(shape) - 2, cells), inputs)


def _over_batches(
    application: Application, weights: Weights, known: Terms, starts: range, length: int, step: int
) -> Cell:
    """One output's cell over all matrices of a batch: its weights start at `starts`."""
    application.work.spend_cells(len(starts) - 1)
    return union(products(weights.values(slice(at, at + length, step)), known) for at in starts)


def _dynamic(application: Application) -> tuple[Value, ...]:
    """x[..., rows, inner] * y[..., inner, columns], both computed."""
    x, y = (application.computed(index, "float32") for index in range(2))
    if min(len(x.shape), len(y.shape)) < 2:
        application.refuse("both inputs must be matrices")
    inner = x.shape[-1]
    _ensure_meet(application, inner, y.shape[-2])
    batch = broadcast(application, x.shape[:-2], y.shape[:-2])
    shape = (*batch, x.shape[-2], y.shape[-1])
    application.work.spend_cells(len(x.bounds.cells) + len(y.bounds.cells))
    return _result(application, shape, _dynamic_bounds(application, x, y, len(shape)), inner)


def _dynamic_bounds(application: Application, x: Value, y: Value, rank: int) -> Bounds:
    """Cells survive along rows of x, columns of y, or a dimension of the batch; of two different ones, those
    of y.
    """
    inner = x.shape[-1]
    x_inner, y_inner = x.bounds.axis == len(x.shape) - 1, y.bounds.axis == len(y.shape) - 2
    if x_inner or y_inner:
        ensure_channels(inner, application)
        application.work.spend_cells(inner)
        pairs = zip(x.bounds.at(len(x.shape) - 1, inner), y.bounds.at(len(y.shape) - 2, inner), strict=True)
        return Bounds((subset_sum([a.hull().times(b.hull()) for a, b in pairs]),))
    x_axis, y_axis = (
        None if each.bounds.axis is None else rank - len(each.shape) + each.bounds.axis for each in (x, y)
    )
    count = len(y.bounds.cells if y_axis is not None else x.bounds.cells)
    lefts = x.bounds.cells if y_axis in (None, x_axis) else (x.bounds.whole(),) * count
    rights = y.bounds.cells if y_axis is not None else y.bounds.cells * count
    cells = [_times(a.hull().times(b.hull()), inner) for a, b in zip(lefts, rights, strict=True)]
    return along(y_axis or x_axis or 0, cells)


def _times(cell: Cell, count: int) -> Cell:
    """The sum of so many of them; a hull holds zero."""
    return Cell(cell.step, cell.low * count, cell.high * count)


def _ensure_meet(application: Application, elements: int, weights: int) -> None:
    if elements != weights:
        application.refuse(f"{weights} weights meet {elements} elements")


def _terms(application: Application, x: Value, axis: int, inputs: int, outputs: int) -> Terms:
    """The hulls of an input's numbers along the dimension that is summed."""
    ensure_channels(max(inputs, outputs), application)
    application.work.spend_cells(outputs + (inputs if x.bounds.axis == axis else 1))
    application.work.spend(STEPS_PER_WEIGHT * inputs * outputs)
    return terms(x.bounds.at(axis, inputs), 1)


def _result(
    application: Application, shape: Sequence[int], bounds: Bounds, products_each: int
) -> tuple[Value, ...]:
    application.ensure_shape(shape)
    application.work.macs += prod(shape) * products_each
    return (Value("float32", tuple(shape), application.fitting(bounds, "float32")),)


RULES = {
    "Gemm": Rule(
        arity=range(2, 4),
        attributes={"alpha": (float, 1.0), "beta": (float, 1.0), "transA": (int, 0), "transB": (int, 0)},
        apply=_gemm,
        flow=Flow.LINEAR,
    ),
    "MatMul": Rule(arity=range(2, 3), attributes={}, apply=_matmul, flow=Flow.LINEAR),
}
