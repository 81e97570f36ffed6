"""Intervals that hold the true values of Exp, Erf, Sigmoid and Tanh, in integers alone.

A number is a count of 2^-PRECISION. What truncated divisions and the rest of a series leave out is bounded
and added, so that a pair (low, high) holds the true value. All four functions rise: the ends of an interval
of arguments give the ends of the interval of values.
Sources: Abramowitz and Stegun, Handbook of Mathematical Functions, 4.2.1 (exponential series) and 7.1.6
(error function); Machin's formula for pi.
"""

from collections.abc import Callable, Mapping
from math import isqrt
from typing import Final

PRECISION: Final = 128
"""Bits after the point: eighty more than any boundary is looked at with, to be spent on error bounds."""

ONE: Final = 1 << PRECISION

ARGUMENT_MAX: Final = 64 * ONE
"""Largest argument of Exp that is looked at; exp(-64) is below 2^-92."""

_GUARD_BITS: Final = 32
"""More bits for the constants, so that truncation costs them less than one count."""

_EXP_TERMS: Final = 28
_EXP_ERROR: Final = 512
"""In counts, of exp(r) for |r| <= 0.35. Each of the terms is off by less than 2; the rest of the series is
below 0.35^29 / 29! < 2^-145; r is off by 2 for each of at most 93 times ln 2, which exp makes 1.5 times as
much: less than 56 + 1 + 279 in all.
"""

_ERF_END: Final = 6 * ONE
"""From there on, erf differs from 1 by less than exp(-36) / (6 sqrt(pi)) < 2^-55."""

_ERF_REST: Final = ONE >> 55

Interval = tuple[int, int]


def _inverse_series(base: int, sign: int) -> int:
    """Sum of sign^i / ((2i+1) * base^(2i+1)): atanh (sign 1) or atan (sign -1) of 1/base, with guard bits.

    Each term is truncated by less than 1, for a floor of a floor is the floor of the whole.
    """
    power, total, at = (ONE << _GUARD_BITS) // base, 0, 0
    while power:
        total += sign**at * (power // (2 * at + 1))
        power //= base * base
        at += 1
    return total


_LN2: Final = 2 * _inverse_series(3, 1) >> _GUARD_BITS
"""2 * atanh(1/3), off by less than 2 counts."""

_PI: Final = 16 * _inverse_series(5, -1) - 4 * _inverse_series(239, -1) >> _GUARD_BITS
"""Off by less than 2 counts."""

_SLOPE: Final = (isqrt((4 << 3 * PRECISION) // (_PI + 2)), isqrt((4 << 3 * PRECISION) // (_PI - 2)) + 1)
"""2 / sqrt(pi), the slope of erf at 0."""


def ceil_div(top: int, bottom: int) -> int:
    """The quotient, rounded up."""
    return -(-top // bottom)


def _exp(x: int) -> Interval:
    """exp(x) = 2^k * exp(r) with r = x - k ln 2."""
    assert x <= ARGUMENT_MAX
    if x < -ARGUMENT_MAX:
        return 0, ONE >> 92
    k = (2 * x + _LN2) // (2 * _LN2)
    r = x - k * _LN2
    term = total = ONE
    for at in range(1, _EXP_TERMS + 1):
        term = term * r // (at << PRECISION)
        total += term
    low, high = total - _EXP_ERROR, total + _EXP_ERROR
    return (low << k, high << k) if k >= 0 else (low >> -k, ceil_div(high, 1 << -k))


def _erf(x: int) -> Interval:
    """2/sqrt(pi) * exp(-x^2) * (sum of 2^n x^(2n+1) / (1*3*...*(2n+1))), whose terms all have one sign."""
    if x < 0:
        low, high = _erf(-x)
        return -high, -low
    if x >= _ERF_END:
        return ONE - _ERF_REST, ONE
    floor = x * x >> PRECISION
    factor, greater = 2 * floor, 2 * floor + 2
    low = high = least = most = x
    odd = 3
    while most > 2 or 4 * greater > odd << PRECISION:
        least = (least * factor >> PRECISION) // odd
        most = ((most * greater >> PRECISION) + 1) // odd + 1
        low, high, odd = low + least, high + most, odd + 2
    high += most  # From here on, each term is at most a quarter of the one before.
    damped = _exp(-floor - 1)[0], _exp(-floor)[1]
    return (
        low * damped[0] * _SLOPE[0] >> 2 * PRECISION,
        ceil_div(high * damped[1] * _SLOPE[1], 1 << 2 * PRECISION),
    )


def _sigmoid(x: int) -> Interval:
    """1 / (1 + exp(-x)), and 1 less that of -x below 0."""
    low, high = _exp(-abs(x))
    upper = ONE * ONE // (ONE + high), ceil_div(ONE * ONE, ONE + low)
    return upper if x >= 0 else (ONE - upper[1], ONE - upper[0])


def _tanh(x: int) -> Interval:
    """2 * sigmoid(2x) - 1."""
    low, high = _sigmoid(2 * x)
    return 2 * low - ONE, 2 * high - ONE


_POINTS: Final[Mapping[str, Callable[[int], Interval]]] = {
    "Erf": _erf,
    "Exp": _exp,
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
}


def enclose(operator: str, arguments: Interval) -> Interval:
    """The values of a function over an interval of arguments; those of Exp are at most ARGUMENT_MAX."""
    point = _POINTS[operator]
    low = point(arguments[0])
    return (low[0], point(arguments[1])[1]) if arguments[0] != arguments[1] else low
