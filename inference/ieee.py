"""The one correctly rounded result that IEEE 754 defines, in integers: no floating-point arithmetic.

Addition, subtraction, multiplication, division, square root and conversion give the float nearest to the true
result, ties to even, on every engine that follows the standard. All are monotone in the true result, so the
ends of a range of true results round to the ends of the range of floats.
Source: IEEE 754-2019, 4.3.1 and 5.4.1.
"""

from fractions import Fraction
from math import isqrt
from typing import Final

_FORMATS: Final = {"float32": (24, -126, 127), "float64": (53, -1022, 1023)}
"""Bits of the significand, least and greatest exponent of a normal number."""

_GUARD_BITS: Final = 4
"""Bits of a root beyond the significand; the last of them says whether there are more."""


class OutOfRange(ArithmeticError):
    """The result is subnormal or infinite: engines differ on the first, and no proof follows the second."""


def nearest(value: Fraction, dtype: str) -> Fraction:
    """The float nearest to `value`, ties to even. Raises OutOfRange."""
    if not value:
        return value
    bits, least, greatest = _FORMATS[dtype]
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= magnitude < Fraction(2) ** exponent
    unit = Fraction(2) ** (exponent - bits + 1)
    rounded = round(magnitude / unit) * unit
    if magnitude < Fraction(2) ** least or rounded >= Fraction(2) ** (greatest + 1):
        raise OutOfRange
    return rounded if value > 0 else -rounded


def nearest_root(value: Fraction, dtype: str) -> Fraction:
    """The float nearest to the square root of `value`, a float that is not negative. Raises OutOfRange."""
    assert value >= 0
    assert value.denominator.bit_count() == 1, "so that no boundary lies between two roots"
    bits, _, _ = _FORMATS[dtype]
    # value = product / denominator^2, so its root is root(product * 4^shift) / (denominator * 2^shift).
    product = value.numerator * value.denominator
    shift = max(0, bits + _GUARD_BITS - product.bit_length() // 2)
    root = isqrt(product << 2 * shift)
    inexact = root * root != product << 2 * shift
    return nearest(Fraction(2 * root + inexact, value.denominator << shift + 1), dtype)
