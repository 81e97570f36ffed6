"""Div, Sqrt and Mul as one correctly rounded operator that leaves the lattice, and what brings its result
back.

The operands are on the lattice, so exact, and the result is the float nearest to a true number: the same bits
on every engine, provided that none computes it in another way. `docs/exactness.md` lists the other ways that
engines know, and which of these rules keeps each of them away:
- an operand must not be `linear`, for then the operator may be folded into weights that are rounded anew, and
  the operand of Mul not `adjusted`: an engine may take x*(a*b) for (x*a)*b, or x*b + a*b for (x+a)*b;
- Div takes two computed inputs: an engine may multiply by the inverse of a constant divisor, and take
  (1/x)*y for y/x;
- Sqrt is float64 only: engines have a fast root for float32 that is not correctly rounded;
- Mul of two computed tensors takes none that is `adjusted`, for the same reason; either may be `linear`;
- one Mul by a constant and one Cast may follow a quotient or a root, then Clip and Round, and these alone a
  product: nothing is left to reorder or contract.
A product that rounded may also be followed number by number: see `certified`.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Final

from inference.bounds import Bounds, Cell
from inference.ieee import OutOfRange, nearest, nearest_root
from inference.operators import certified
from inference.operators.broadcasting import broadcast
from inference.operators.constants import decode, ensure_channels, scalar
from inference.operators.loose import Loose
from inference.operators.rule import Application, Rule, Value
from inference.schema import ELEMENT_TYPES

Apply = Callable[[Application], tuple[Value, ...]]

_BACK: Final = frozenset({"Clip", "Round"})
"""What may follow every loose value. Neither tells a subnormal number from a 0 that an engine makes of it."""

_QUOTIENT: Final = _BACK | {"Cast", "Mul"}
_ROOT: Final = _QUOTIENT | {"Div"}


def either(exact: Apply, loose: Apply) -> Apply:
    """The rule of an operator on the lattice, and its rule if an input is loose."""

    def apply(application: Application) -> tuple[Value, ...]:
        found = [value.loose for value in application.inputs if value is not None and value.loose is not None]
        if any(certified.follows(application, each) for each in found):
            return certified.follow(application)
        return loose(application) if found else exact(application)

    return apply


def _divide(application: Application) -> tuple[Value, ...]:
    """On the lattice, or with a root as the divisor: then each of the two rounds once.

    A root of no less than the square of a number is, rounded, no less than that number's magnitude.
    """
    top = application.computed(0, "float32", "float64")
    bottom = application.computed(1, top.dtype, loose=True)
    _ensure_settled(application, top, bottom)
    shape = broadcast(application, top.shape, bottom.shape)
    (low, high), (least, most) = _range(top), _range(bottom)
    if least <= 0 <= most:
        application.refuse("the divisor may be 0: Clip it first")
    corners = [a / b for a in (low, high) for b in (least, most)]
    if bottom.loose is not None and bottom.squares == application.node.inputs[0]:
        corners = [max(min(corner, Fraction(1)), Fraction(-1)) for corner in corners]
    return _leaving(application, top.dtype, shape, corners, _QUOTIENT)


def _root(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, "float64")
    _ensure_settled(application, x)
    low, high = _range(x)
    if low < 0:
        application.refuse("the numbers may be below 0: Clip them first")
    try:
        loose = Loose(nearest_root(low, x.dtype), nearest_root(high, x.dtype), _ROOT)
    except OutOfRange:
        application.refuse(f"a result is subnormal or infinite in {x.dtype}")
    return (Value(x.dtype, x.shape, Bounds(()), loose=loose, squares=x.squares),)


def scaled(application: Application) -> tuple[Value, ...]:
    """A Mul with a constant: of a lattice value where the products do not fit, or of a loose value."""
    left, right = application.inputs
    if left is None or right is None:
        application.refuse("both inputs must be there")
    at = 0 if left.constant is None else 1
    x = application.computed(at, "float32", "float64", loose=True)
    constant = application.constant(1 - at, x.dtype)
    ensure_channels(prod(constant.shape), application)
    factors = decode(constant, application)
    shape = broadcast(application, left.shape, right.shape)
    known = {
        mantissa * Fraction(2) ** step
        for mantissa, step in zip(factors.mantissas, factors.steps, strict=True)
    }
    ends = [end * factor for end in _range(x) for factor in (min(known), max(known))]
    if x.loose is not None:
        return _leaving(application, x.dtype, shape, ends, x.loose.followers - {"Mul"})
    root = certified.root_of(application.node.inputs[at], x)
    if root is None or len(known) != 1:
        return _leaving(application, x.dtype, shape, ends, _BACK)
    (value,) = _leaving(application, x.dtype, shape, ends, _BACK | certified.FUNCTIONS | certified.STARTING)
    assert value.loose is not None
    return (replace(value, loose=replace(value.loose, product=(root, known.pop()))),)


def product(application: Application, shape: tuple[int, ...]) -> tuple[Value, ...]:
    """A Mul of two computed tensors where the products do not fit.

    Either may come from weights: no engine moves a computed factor into those, or over the sums they make.
    """
    left, right = (application.computed(at, "float32", "float64") for at in range(2))
    corners = [a * b for a in _range(left) for b in _range(right)]
    return _leaving(application, left.dtype, shape, corners, _BACK)


def clipped(application: Application) -> tuple[Value, ...]:
    """Clip of a loose value."""
    x = application.computed(0, "float32", "float64", loose=True)
    low, high = (_only(scalar(index, x.dtype, application)) for index in (1, 2))
    if low > high:
        application.refuse("the lower limit is above the upper")
    spent = certified.STARTING | certified.FUNCTIONS if x.loose and x.loose.product else frozenset()
    return _changed(x, lambda end: min(max(end, low), high), *spent)


def cast(application: Application) -> tuple[Value, ...]:
    """Cast of a loose value to the other float type."""
    x = application.computed(0, "float32", "float64", loose=True)
    to = ELEMENT_TYPES.get(application.integer("to"), "")
    if to not in ("float32", "float64"):
        application.refuse("the numbers are not integers: Round them first")
    try:
        (value,) = _changed(x, lambda end: nearest(end, to), "Cast", "Div")
    except OutOfRange:
        application.refuse(f"a number is subnormal or infinite in {to}")
    return (replace(value, dtype=to),)


def rounded(application: Application) -> tuple[Value, ...]:
    """Round of a loose value, which puts it on the lattice of the integers."""
    x = application.computed(0, "float32", "float64", loose=True)
    assert x.loose is not None
    bounds = Bounds((Cell(0, round(x.loose.low), round(x.loose.high)),))
    return (Value(x.dtype, x.shape, application.fitting(bounds, x.dtype)),)


def _changed(x: Value, change: Callable[[Fraction], Fraction], *spent: str) -> tuple[Value, ...]:
    assert x.loose is not None
    return (replace(x, loose=x.loose.then(change, *spent), squares=""),)


def _only(cell: Cell) -> Fraction:
    """The number that a cell of one number holds."""
    return cell.low * Fraction(2) ** cell.step


def _leaving(
    application: Application,
    dtype: str,
    shape: tuple[int, ...],
    corners: list[Fraction],
    followers: frozenset[str],
) -> tuple[Value, ...]:
    """The floats nearest to true results between the least and the greatest of the corners."""
    try:
        loose = Loose(nearest(min(corners), dtype), nearest(max(corners), dtype), followers)
    except OutOfRange:
        application.refuse(f"a result is subnormal or infinite in {dtype}")
    return (Value(dtype, shape, Bounds(()), loose=loose),)


def is_open(value: Value) -> bool:
    """Whether an engine may merge a factor that comes next with what made the value, and round that first."""
    return value.loose is None and (value.linear or value.adjusted)


def _range(value: Value) -> tuple[Fraction, Fraction]:
    if value.loose is not None:
        return value.loose.low, value.loose.high
    cell = value.bounds.whole()
    low, high = cell.low * Fraction(2) ** cell.step, cell.high * Fraction(2) ** cell.step
    return (low if value.least is None else max(low, value.least)), high


def _ensure_settled(application: Application, *values: Value) -> None:
    if any(value.linear for value in values):
        application.refuse("an engine may fold this into the weights before it: put a Round between")


RULES: Final = {
    "Div": Rule(arity=range(2, 3), attributes={}, apply=_divide),
    "Sqrt": Rule(arity=range(1, 2), attributes={}, apply=_root),
}
