"""Exp, Erf, Sigmoid and Tanh, which no standard fixes: admitted where no library's error reaches the result.

A certified function takes a tensor on the lattice with at most POINTS_MAX numbers, or the product of such a
tensor and one constant. For each number, an interval follows the value through what comes next: products and
sums with constants and with that tensor itself, limits, at last a Round. An interval holds whatever an engine
may compute, if its library keeps to the assumption and rounds every operation. If none touches a boundary of
rounding, all engines give the same integers; the least distance is the certificate's margin.

Functions are refused unless an assumption is made; products and sums that round more than once are followed
in the same way without one. See `docs/exactness.md`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Final

from inference.bounds import Bounds, Cell
from inference.enclosures import ARGUMENT_MAX, ONE, PRECISION, Interval, ceil_div, enclose
from inference.operators.constants import decode, scalar
from inference.operators.loose import Curve, Loose, Root
from inference.operators.rule import Application, Flow, Rule, Value

POINTS_MAX: Final = 65_536
"""Most numbers of a root."""

MARGIN_BITS: Final = 32
"""A margin is a count of 2^-32 of the distance of two integers."""

ROUNDING_BITS: Final = 23
"""An operation is taken to be off by 2^-23 of its result: twice what one rounding makes, so that an engine
may merge two factors into one that is rounded first."""

_SMALLEST: Final = ONE >> 100
"""And by 2^-100, for results that are subnormal or that an engine makes 0."""

_LARGEST: Final = ONE << 100
"""Results are below 2^100, so not infinite."""

_STEPS: Final[Mapping[str, int]] = {"Erf": 400, "Exp": 48, "Sigmoid": 64, "Tanh": 64}
"""Elementary steps that one enclosure counts as."""

_FOLLOWING_STEPS: Final = 4

FUNCTIONS: Final = frozenset(_STEPS)

STARTING: Final = frozenset({"Add", "Mul"})
"""Operators that make a curve of a product that rounded: no assumption is needed for these."""


def root_of(name: str, x: Value) -> Root | None:
    """The tensor as a root: on the lattice, with few numbers, and a Round between it and any weights."""
    if x.loose is not None or x.linear:
        return None
    cell = x.bounds.whole()
    return Root(name, cell) if cell.high - cell.low < POINTS_MAX else None


def _function(application: Application) -> tuple[Value, ...]:
    """A certified function of a root, or of its product with a constant."""
    operator, work = application.node.operator, application.work
    x = application.computed(0, "float32", loose=True)
    if work.ulps is None:
        application.refuse(
            f"libraries differ in {operator}: take a table (Gather), or prove under an assumption of how "
            "accurate they are"
        )
    root, factor = root_of(application.node.inputs[0], x), Fraction(1)
    if x.loose is not None and x.loose.product is not None:
        root, factor = x.loose.product
    if root is None:
        application.refuse(f"the argument has more than {POINTS_MAX} values, or no Round before it")
    work.spend(_STEPS[operator] * (root.cell.high - root.cell.low + 1))
    intervals = []
    for argument in _products(root, factor):
        if operator == "Exp" and argument[1] > ARGUMENT_MAX:
            application.refuse("the argument of Exp may be above 64")
        low, high = enclose(operator, argument)
        slack = _SMALLEST + ceil_div(work.ulps * (high if operator == "Exp" else ONE), 1 << ROUNDING_BITS)
        intervals.append((low - slack, high + slack))
    return _followed(application, x, Curve(root, tuple(intervals), assumes=True))


def _multiply(application: Application, x: Value, curve: Curve) -> tuple[Value, ...]:
    if curve.root.name in application.node.inputs:
        others = _numbers(curve.root)
    else:
        others = [_constant(application, x)] * len(curve.intervals)
    products = (_product(each, other) for each, other in zip(curve.intervals, others, strict=True))
    return _followed(application, x, replace(curve, intervals=tuple(map(_widened, products))))


def _add(application: Application, x: Value, curve: Curve) -> tuple[Value, ...]:
    """Off by what its terms may be: an engine may distribute a factor that comes next."""
    least, most = _product((ONE, ONE), _constant(application, x))
    intervals = []
    for low, high in curve.intervals:
        intervals.append(_widened((low + least, high + most), max(-low, high, -least, most)))
    return _followed(application, x, replace(curve, intervals=tuple(intervals)))


def _clip(application: Application, x: Value, curve: Curve) -> tuple[Value, ...]:
    least, most = (scalar(index, "float32", application) for index in (1, 2))
    step = min(least.step, most.step)
    if least.at(step).low > most.at(step).low:
        application.refuse("the lower limit is above the upper")
    bottom, top = (_product((ONE, ONE), limit.low * Fraction(2) ** limit.step) for limit in (least, most))
    limited = (
        (min(max(low, bottom[0]), top[0]), min(max(high, bottom[1]), top[1])) for low, high in curve.intervals
    )
    return _followed(application, x, replace(curve, intervals=tuple(limited)))


def _round(application: Application, x: Value, curve: Curve) -> tuple[Value, ...]:
    """Every interval must lie between two boundaries of rounding; the least distance is remembered."""
    application.work.spend(_FOLLOWING_STEPS * len(curve.intervals))
    whole, margin = [], ONE
    for number, (low, high) in zip(_numbers(curve.root), curve.intervals, strict=True):
        nearest = low + ONE // 2 >> PRECISION
        boundary = (nearest << PRECISION) + ONE // 2
        distance = min(low - (boundary - ONE), boundary - high)
        if distance <= 0:
            application.refuse(f"for {number} the result may round in two ways: change its scale a little")
        margin = min(margin, distance)
        whole.append(nearest)
    if curve.assumes:
        application.work.note_margin(margin >> PRECISION - MARGIN_BITS)
    bounds = application.fitting(Bounds((Cell(0, min(whole), max(whole)),)), "float32")
    return (Value(x.dtype, x.shape, bounds),)


_FOLLOWING: Final[Mapping[str, Callable[[Application, Value, Curve], tuple[Value, ...]]]] = {
    "Add": _add,
    "Clip": _clip,
    "Mul": _multiply,
    "Round": _round,
}


def follows(application: Application, loose: Loose) -> bool:
    """Whether an operator takes a loose value as a curve, not as a number that all engines agree on."""
    return loose.curve is not None or (loose.product is not None and application.node.operator in STARTING)


def follow(application: Application) -> tuple[Value, ...]:
    """The rule of an operator that takes a curve, or makes one of a product."""
    at = next(at for at, value in enumerate(application.inputs) if value and value.loose)
    x = application.computed(at, "float32", loose=True)
    assert x.loose is not None
    curve = x.loose.curve
    if curve is None:
        assert x.loose.product is not None
        root, factor = x.loose.product
        application.work.spend(_FOLLOWING_STEPS * (root.cell.high - root.cell.low + 1))
        curve = Curve(root, tuple(_products(root, factor)), assumes=False)
    return _FOLLOWING[application.node.operator](application, x, curve)


def _followed(application: Application, x: Value, curve: Curve) -> tuple[Value, ...]:
    application.work.spend(_FOLLOWING_STEPS * len(curve.intervals))
    low, high = min(low for low, _ in curve.intervals), max(high for _, high in curve.intervals)
    if max(-low, high) >= _LARGEST:
        application.refuse("a result may be above 2^100")
    loose = Loose(Fraction(low, ONE), Fraction(high, ONE), frozenset(_FOLLOWING), curve=curve)
    return (Value(x.dtype, x.shape, Bounds(()), loose=loose),)


def _constant(application: Application, x: Value) -> Fraction:
    """The single number that a curve meets, which leaves its shape as it is."""
    at = next(
        (at for at, value in enumerate(application.inputs) if value and value.constant is not None), None
    )
    if at is None:
        application.refuse(
            "a certified value meets constants, and in Mul the tensor it is a function of, alone"
        )
    constant = application.constant(at, "float32")
    if prod(constant.shape) != 1 or len(constant.shape) > len(x.shape):
        application.refuse("a certified value meets single constants only, of no more dimensions")
    numbers = decode(constant, application)
    return numbers.mantissas[0] * Fraction(2) ** numbers.steps[0]


def _numbers(root: Root) -> list[Fraction]:
    unit = Fraction(2) ** root.cell.step
    return [count * unit for count in range(root.cell.low, root.cell.high + 1)]


def _products(root: Root, factor: Fraction) -> Iterator[Interval]:
    """For each number of a root its product with a factor, which rounds unless the factor is 1."""
    for number in _numbers(root):
        product = _product((ONE, ONE), number * factor)
        yield product if factor == 1 else _widened(product)


def _product(interval: Interval, factor: Fraction) -> Interval:
    ends = sorted(end * factor.numerator for end in interval)
    return ends[0] // factor.denominator, ceil_div(ends[1], factor.denominator)


def _widened(interval: Interval, term: int = 0) -> Interval:
    """After an operation that rounds its result, or a term as large as this."""
    low, high = interval
    slack = (max(-low, high, term) >> ROUNDING_BITS) + _SMALLEST
    return low - slack, high + slack


RULES: Final = {
    operator: Rule(arity=range(1, 2), attributes={}, apply=_function, flow=Flow.CUTS) for operator in _STEPS
}
