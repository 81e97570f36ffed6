"""Pass 6, second half: what a function of one variable is, told by its values and not by its spelling."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf, isclose
from typing import Final

import numpy as np

from inference.converter import elementwise
from inference.converter.program import Form, Reals

Function = Callable[[Reals], Reals]

_TOLERANCE: Final = 2e-6
"""Relative to the largest value nearby: what constants rounded to float32 may differ by."""

_SHIFT_BITS: Final = 30
"""Bits behind the point of a hard swish's shift: found by quotients, 1/2 comes out as 0.5000000000003."""


def _points() -> Reals:
    """Both signs, four to an octave, from 2^-20 to 2^20, and zero; powers of two keep differences exact."""
    octaves = 2.0 ** np.arange(-20, 20)
    positive = np.sort((octaves[:, None] * np.array([1, 1.25, 1.5, 1.75])).reshape(-1))
    return np.concatenate([-positive[::-1], [0.0], positive])


_POINTS: Final = _points()
_NEAR: Final = np.linspace(-12, 12, 1537)


@dataclass(frozen=True, slots=True)
class Recognised:
    """form.evaluate(x * scale + offset) + after."""

    form: Form
    scale: float
    offset: float
    evaluate: Function
    parameters: tuple[float, ...] = ()
    label: str = ""
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class _Line:
    """slope * x + shift."""

    slope: float
    shift: float


def recognise(function: Function) -> Recognised:
    """The simplest form that has the function's values."""
    for attempt in (_straight_pieces, _hard_swish):
        found = attempt(function)
        if found is not None and _agrees(found, function):
            return found
    return Recognised(Form.CURVE, 1.0, 0.0, function, label=_label(function))


def identity(x: Reals) -> Reals:
    """What an affine map does after scale and offset."""
    return x


def clip(x: Reals, low: float, high: float) -> Reals:
    return np.minimum(np.maximum(x, low), high)


def hard_swish(x: Reals, slope: float, shift: float) -> Reals:
    return x * elementwise.hard_sigmoid(x, slope, shift)


def leaky(x: Reals, slope: float) -> Reals:
    return np.where(x >= 0, x, slope * x)


def _straight_pieces(function: Function) -> Recognised | None:
    """AFFINE, CLIP, HARD_SIGMOID or LEAKY."""
    lines = _lines(function, _POINTS)
    match lines:
        case [only]:
            return Recognised(Form.AFFINE, only.slope, only.shift, identity)
        case [left, right] if left.slope and right.slope:
            return _leaky(left, right)
        case [left, right] if left.slope or right.slope:
            sloped, flat = (left, right) if left.slope else (right, left)
            # The values lie above the flat part where the line rises away from it.
            above = (sloped.slope > 0) == (sloped is right)
            return _clipped(sloped, *((flat.shift, inf) if above else (-inf, flat.shift)))
        case [left, middle, right] if middle.slope and not left.slope and not right.slope:
            low, high = sorted((left.shift, right.shift))
            return _clipped(middle, low, high)
    return None


def _clipped(line: _Line, low: float, high: float) -> Recognised:
    if (low, high) == (0, 1) and line.slope != 1:
        parameters = (line.slope, line.shift)
        evaluate = partial(elementwise.hard_sigmoid, slope=line.slope, shift=line.shift)
        return Recognised(Form.HARD_SIGMOID, 1.0, 0.0, evaluate, parameters, "HardSigmoid")
    label = {(0.0, inf): "Relu", (0.0, 6.0): "Relu6"}.get((low, high), "Clip")
    evaluate = partial(clip, low=low, high=high)
    return Recognised(Form.CLIP, line.slope, line.shift, evaluate, (low, high), label)


def _leaky(left: _Line, right: _Line) -> Recognised | None:
    """Two slopes, of which the one on the right rises."""
    if right.slope < 0:
        return None
    after = right.slope * (left.shift - right.shift) / (right.slope - left.slope) + right.shift
    if isclose(after, 0, abs_tol=1e-9 * max(1.0, abs(right.shift))):
        after = 0.0
    slope = left.slope / right.slope
    evaluate = partial(leaky, slope=slope)
    shift = right.shift - after
    return Recognised(Form.LEAKY, right.slope, shift, evaluate, (slope,), "LeakyRelu", after)


def _hard_swish(function: Function) -> Recognised | None:
    """u * hard_sigmoid(u) + after, for a straight line u that the function approaches on one side."""
    # Beyond these points the line's offset drowns in rounding; too near its zero, so does the quotient.
    points = _POINTS[np.abs(_POINTS) <= 2.0**12]
    with np.errstate(all="ignore"):
        values = np.asarray(function(points), dtype=np.float64)
    if not np.isfinite(values).all():
        return None
    for end, other in ((slice(-8, None), 0), (slice(None, 8), -1)):
        after = float(values[other])
        line, _ = _longest(points[end], values[end] - after, 0)
        along = line.slope * points + line.shift
        if not line.slope:
            continue
        away = np.abs(along) > 2.0**-6
        middle = _hard_part(points[away], (values - after)[away] / along[away])
        if middle is None:
            continue
        # In terms of u, the sigmoid's argument is slope * u + shift.
        slope = middle.slope / line.slope
        shift = round((middle.shift - slope * line.shift) * 2**_SHIFT_BITS) / 2**_SHIFT_BITS
        parameters = (slope, shift)
        evaluate = partial(hard_swish, slope=parameters[0], shift=parameters[1])
        form, label = Form.HARD_SWISH, "HardSwish"
        return Recognised(form, line.slope, line.shift, evaluate, parameters, label, after)
    return None


def _hard_part(points: Reals, ratios: Reals) -> _Line | None:
    """The slope between 0 and 1 of what must be a hard sigmoid."""
    near = np.round(np.clip(ratios, 0, 1), 9)
    match _lines_of(points, np.where(np.isclose(near, np.rint(near), atol=1e-8), np.rint(near), ratios)):
        case [left, middle, right] if not left.slope and not right.slope and middle.slope:
            if {round(left.shift, 6), round(right.shift, 6)} == {0.0, 1.0}:
                return middle
    return None


def _lines(function: Function, points: Reals) -> list[_Line] | None:
    with np.errstate(all="ignore"):
        values = np.asarray(function(points), dtype=np.float64)
    return _lines_of(points, values) if np.isfinite(values).all() else None


def _lines_of(points: Reals, values: Reals) -> list[_Line] | None:
    """The straight pieces that values lie on, each over three points or more; None if there are more than
    three pieces, or values on none of them.
    """
    lines: list[_Line] = []
    at = 0
    while at < len(points) - 2:
        line, end = _longest(points, values, at)
        if end - at >= 3:
            lines.append(line)
            at = end
        else:
            at += 1
        if len(lines) > 3:
            return None
    return lines or None


def _longest(points: Reals, values: Reals, at: int) -> tuple[_Line, int]:
    """The line through the points from `at` on, and the first point that is not on it."""
    x, y = points[at:], values[at:]
    slope = (y[1] - y[0]) / (x[1] - x[0])
    on = _close(slope * (x - x[0]) + y[0], y, np.abs(slope) * np.maximum(np.abs(x), abs(x[0])))
    count = len(x) if on.all() else int(np.argmin(on))
    if count >= 3:
        # Far points say more about the slope than neighbours; those near zero may lie past a bend there.
        far = np.flatnonzero(np.abs(x[:count]) >= np.abs(x[:count]).max() / 1024)
        if len(far) >= 2:
            slope = (y[far[-1]] - y[far[0]]) / (x[far[-1]] - x[far[0]])
    inside = int(np.argmin(np.abs(x[:count])))
    # Adding zero turns -0.0 into 0.0.
    shift = y[inside] - slope * x[inside] + 0.0
    return _Line(float(slope), float(shift)), at + count


def _close(a: Reals, b: Reals, size: Reals) -> Reals:
    return np.asarray(np.abs(a - b) <= 1e-9 * (np.abs(b) + size) + 1e-300)


def _agrees(found: Recognised, function: Function) -> bool:
    points = np.concatenate([_NEAR, _POINTS])
    with np.errstate(all="ignore"):
        expected = np.asarray(function(points), dtype=np.float64)
        given = np.asarray(found.evaluate(points * found.scale + found.offset), dtype=np.float64)
        given = given + found.after
    allowed = _TOLERANCE * (np.abs(expected) + min(1.0, float(np.abs(expected[: len(_NEAR)]).max())))
    return bool((np.abs(given - expected) <= allowed).all())


_KNOWN: Final[dict[str, Function]] = {
    "Elu": partial(elementwise.elu, alpha=1.0),
    "Erf": elementwise.erf_of,
    "Exp": np.exp,
    "Gelu": elementwise.gelu,
    "Gelu (tanh)": elementwise.tanh_gelu,
    "Mish": lambda x: x * np.tanh(elementwise.softplus(x)),
    "QuickGelu": lambda x: x * elementwise.sigmoid(1.702 * x),
    "Sigmoid": elementwise.sigmoid,
    "Silu": lambda x: x * elementwise.sigmoid(x),
    "Softplus": elementwise.softplus,
    "Square": np.square,
    "Tanh": np.tanh,
}


def _label(function: Function) -> str:
    """What people call it, if it is one of the usual ones."""
    with np.errstate(all="ignore"):
        values = np.asarray(function(_NEAR), dtype=np.float64)
    for name, known in _KNOWN.items():
        if np.allclose(values, known(_NEAR), rtol=1e-5, atol=1e-6):
            return name
    return ""
