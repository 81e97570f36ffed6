"""Add, Sub, Mul, Max, Min, Relu, Clip and Round."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import prod

from inference.bounds import MANTISSA_BITS, Cell, along, subset_sum
from inference.operators import rounded
from inference.operators.broadcasting import Pair, pair
from inference.operators.constants import scalar
from inference.operators.rule import Application, Flow, Rule, Value
from inference.operators.weights import Weights

Combine = Callable[[Cell, Cell], Cell]


def _add(application: Application) -> tuple[Value, ...]:
    """What adds a number to what is never below 0 is never below that number."""
    (value,) = _binary(application, lambda left, right: subset_sum([left.hull(), right]))
    for x, added in (application.inputs, application.inputs[::-1]):
        if x is None or added is None or added.constant is None or prod(added.shape) != 1:
            continue
        cell = Weights(added.constant, application).cell(slice(None))
        if x.bounds.whole().low >= 0 < cell.low and x.shape == value.shape:
            return (replace(value, least=cell.low * Fraction(2) ** cell.step, squares=x.squares),)
    return (value,)


def _subtract(application: Application) -> tuple[Value, ...]:
    return _binary(application, lambda left, right: subset_sum([left.hull(), right.negated()]))


def _multiply(application: Application) -> tuple[Value, ...]:
    """Both hulls, because an engine may move a constant factor into the weights that made the other. Products
    that do not fit may round once."""
    operands, cells = _combined(application, lambda left, right: left.hull().times(right.hull()))
    if application.node.inputs[0] == application.node.inputs[1]:
        cells = [Cell(cell.step, 0, cell.high) for cell in cells]
    values = [value for value in application.inputs if value is not None]
    if any(cell.magnitude >> MANTISSA_BITS[operands.dtype] for cell in cells):
        computed = not any(value.constant for value in values)
        if computed and not any(value.adjusted for value in values):
            return rounded.product(application, operands.shape)
        if not computed and not any(map(rounded.is_open, values)):
            return rounded.scaled(application)
    bounds = application.fitting(along(operands.axis, cells), operands.dtype)
    return (Value(operands.dtype, operands.shape, bounds),)


def _binary(application: Application, combine: Combine, *dtypes: str) -> tuple[Value, ...]:
    """Both computed, or one of them a constant."""
    operands, cells = _combined(application, combine, *dtypes)
    bounds = application.fitting(along(operands.axis, cells), operands.dtype)
    return (Value(operands.dtype, operands.shape, bounds),)


def _combined(application: Application, combine: Combine, *dtypes: str) -> tuple[Pair, list[Cell]]:
    operands = pair(application, *(dtypes or ("float32", "float64")))
    return operands, [combine(left, right) for left, right in zip(operands.left, operands.right, strict=True)]


def _relu(application: Application) -> tuple[Value, ...]:
    """float32 alone: onnxruntime refuses to load a Relu of another type with a Clip after it."""
    x = application.computed(0, "float32")
    return _mapped(application, x, lambda cell: Cell(cell.step, max(cell.low, 0), max(cell.high, 0)))


def _clip(application: Application) -> tuple[Value, ...]:
    """Integers may be clipped as well: that is where the range of an input comes from."""
    x = application.computed(0, "float32", "float64", "int64", "int32", "int8", "uint8")
    low, high = (scalar(index, x.dtype, application) for index in (1, 2))
    step = min(low.step, high.step)
    if low.at(step).low > high.at(step).low:
        application.refuse("the lower limit is above the upper")
    return _mapped(application, x, lambda cell: cell.clipped(low, high))


def _round(application: Application) -> tuple[Value, ...]:
    return _mapped(application, application.computed(0, "float32", "float64"), Cell.rounded)


def _mapped(application: Application, x: Value, change: Callable[[Cell], Cell]) -> tuple[Value, ...]:
    application.work.spend_cells(len(x.bounds.cells))
    bounds = x.bounds.mapped(change)
    return (Value(x.dtype, x.shape, application.fitting(bounds, x.dtype)),)


def _maximum(application: Application) -> tuple[Value, ...]:
    return _extreme(application, max)


def _minimum(application: Application) -> tuple[Value, ...]:
    return _extreme(application, min)


def _extreme(application: Application, choose: Callable[[int, int], int]) -> tuple[Value, ...]:
    """The greater or lesser of two: it lies between the greater or lesser of the limits."""

    def combine(left: Cell, right: Cell) -> Cell:
        step = min(left.step, right.step)
        a, b = left.at(step), right.at(step)
        return Cell(step, choose(a.low, b.low), choose(a.high, b.high))

    return _binary(application, combine, "float32", "float64", "int32", "int64")


RULES = {
    "Add": Rule(arity=range(2, 3), attributes={}, apply=rounded.either(_add, _add)),
    "Clip": Rule(arity=range(3, 4), attributes={}, apply=rounded.either(_clip, rounded.clipped)),
    "Max": Rule(arity=range(2, 3), attributes={}, apply=_maximum),
    "Min": Rule(arity=range(2, 3), attributes={}, apply=_minimum),
    "Mul": Rule(arity=range(2, 3), attributes={}, apply=rounded.either(_multiply, rounded.scaled)),
    "Relu": Rule(arity=range(1, 2), attributes={}, apply=_relu),
    "Round": Rule(
        arity=range(1, 2), attributes={}, apply=rounded.either(_round, rounded.rounded), flow=Flow.CUTS
    ),
    "Sub": Rule(arity=range(2, 3), attributes={}, apply=_subtract),
}
