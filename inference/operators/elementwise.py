"""Add, Sub, Mul, Relu, Clip and Round."""

from collections.abc import Callable

from inference.bounds import Bounds, Cell, subset_sum
from inference.operators.constants import per_channel, scalar
from inference.operators.rule import Application, Rule, Value

Combine = Callable[[Cell, Cell], Cell]


def _add(application: Application) -> Value:
    return _binary(application, lambda left, right: subset_sum([left.hull(), right]))


def _subtract(application: Application) -> Value:
    return _binary(application, lambda left, right: subset_sum([left.hull(), right.negated()]))


def _multiply(application: Application) -> Value:
    """Both hulls, because an engine may move a constant factor into the weights that made the other."""
    return _binary(application, lambda left, right: left.hull().times(right.hull()))


def _binary(application: Application, combine: Combine) -> Value:
    """One computed input with another of the same shape, or with a constant per channel."""
    left, right = application.inputs
    if left is None or right is None:
        application.refuse("both inputs must be there")
    computed = application.computed(0 if left.constant is None else 1, "float32")
    sides = [_side(application, index, computed) for index in range(2)]
    count = max(len(side) for side in sides)
    application.work.spend_cells(count)
    cells = tuple(
        combine(*(side[index] if len(side) > 1 else side[0] for side in sides)) for index in range(count)
    )
    return Value("float32", computed.shape, application.fitting(cells, "float32"))


def _side(application: Application, index: int, computed: Value) -> tuple[Cell, ...]:
    value = application.inputs[index]
    assert value is not None
    if value.constant is not None:
        return tuple(per_channel(application.constant(index, "float32"), computed, application))
    if application.computed(index, "float32").shape != computed.shape:
        application.refuse(f"shapes {list(value.shape)} and {list(computed.shape)} differ")
    return value.bounds.cells


def _relu(application: Application) -> Value:
    x = application.computed(0, "float32")
    return _mapped(application, x, lambda cell: Cell(cell.step, max(cell.low, 0), max(cell.high, 0)))


def _clip(application: Application) -> Value:
    """Integers may be clipped as well: that is where the range of an input comes from."""
    x = application.computed(0, "float32", "int32", "int8", "uint8")
    low, high = (scalar(index, x.dtype, application) for index in (1, 2))
    step = min(low.step, high.step)
    if low.at(step).low > high.at(step).low:
        application.refuse("the lower limit is above the upper")
    return _mapped(application, x, lambda cell: cell.clipped(low, high))


def _round(application: Application) -> Value:
    return _mapped(application, application.computed(0, "float32"), Cell.rounded)


def _mapped(application: Application, x: Value, change: Callable[[Cell], Cell]) -> Value:
    application.work.spend_cells(len(x.bounds.cells))
    cells = tuple(change(cell) for cell in x.bounds.cells)
    bounds = application.fitting(cells, "float32") if x.dtype == "float32" else Bounds(cells)
    return Value(x.dtype, x.shape, bounds)


ADD = Rule(arity=range(2, 3), attributes={}, apply=_add)
SUB = Rule(arity=range(2, 3), attributes={}, apply=_subtract)
MUL = Rule(arity=range(2, 3), attributes={}, apply=_multiply)
RELU = Rule(arity=range(1, 2), attributes={}, apply=_relu)
CLIP = Rule(arity=range(3, 4), attributes={}, apply=_clip)
ROUND = Rule(arity=range(1, 2), attributes={}, apply=_round)
