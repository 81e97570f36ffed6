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


def _points() -> Reals:
    """Both signs, four to an octave, from 2^-20 to 2^20, and zero; powers of two keep differences exact."""
    octaves = 2.0 ** np.arange(-20, 20)
    positive = np.sort((octaves[:, None] * np.array([1, 1.25, 1.5, 1.75])).reshape(-1))
    return np.concatenate([-positive[::-1], [0.0], positive])


_POINTS: Final = _points()
_NEAR: Final = np.linspace(-12, 12, 1537)


@dataclass(frozen=True, slots=True)
class Recognised:
    """form.evaluate(x * scale + offset)."""

    form: Form
    scale: float
    offset: float
    evaluate: Function
    parameters: tuple[float, ...] = ()
    label: str = ""


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
    """Two slopes that meet where the value is zero."""
    meeting = (left.shift - right.shift) / (right.slope - left.slope)
    if not isclose(right.slope * meeting + right.shift, 0, abs_tol=1e-9 * max(1.0, abs(right.shift))):
        return None
    slope = left.slope / right.slope
    if right.slope < 0:
        return None
    evaluate = partial(leaky, slope=slope)
    return Recognised(Form.LEAKY, right.slope, right.shift, evaluate, (slope,), "LeakyRelu")


def _hard_swish(function: Function) -> Recognised | None:
    """factor * x * hard_sigmoid(x), which is hard_swish(factor * x) with the slope divided by the factor."""
    points = _POINTS[_POINTS != 0]
    with np.errstate(all="ignore"):
        ratios = np.asarray(function(points)) / points
    factor = float(ratios[-1] or ratios[0])
    if not np.isfinite(ratios).all() or not factor:
        return None
    match _lines_of(points, ratios / factor):
        case [left, middle, right] if not left.slope and not right.slope and middle.slope:
            if not isclose(min(left.shift, right.shift), 0, abs_tol=1e-9):
                return None
            parameters = (middle.slope / factor, middle.shift)
            evaluate = partial(hard_swish, slope=parameters[0], shift=parameters[1])
            return Recognised(Form.HARD_SWISH, factor, 0.0, evaluate, parameters, "HardSwish")
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
