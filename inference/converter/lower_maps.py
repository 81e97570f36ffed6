"""Elementwise functions that are straight in pieces: affine maps, limits, leaky Relu, hard swish."""

from math import isinf
from typing import Final

import numpy as np

from inference.converter.code import Code, one
from inference.converter.lower_linear import bent_fine
from inference.converter.lower_tables import curve
from inference.converter.lowering import SUM_MAX, Lowering
from inference.converter.program import Map, Reals
from inference.converter.rule import LINEAR_BITS_MAX, Rule, Want

_SLOPE_BITS: Final = 8
"""Bits of the slope of a leaky Relu: it is met to half a percent."""

_HARD_SWISH_BITS: Final = 14
"""Most bits of a hard swish: one that reaches far still needs many steps where it bends."""


def _affine(lowering: Lowering, step: Map) -> Code:
    """No node at all: the scale and offset of the code change. Readers that cannot fold them pay."""
    x = lowering.whole(step.inputs[0])
    scale, offset = (_against(each, len(step.shape)) for each in (step.scale, step.offset))
    if not np.all(scale):
        lowering.refuse(step.name, "it multiplies by zero", "leave out what does not matter")
    return lowering.changed(
        x, x.name, shape=step.shape, scale=x.scale * scale, offset=x.offset * scale + offset
    )


def _against(values: Reals, rank: int) -> Reals:
    """With dimensions of 1 before, up to the rank."""
    return values if values.size == 1 else values.reshape((1,) * (rank - values.ndim) + values.shape)


def _clip(lowering: Lowering, step: Map) -> Code:
    """Before rounding, if nobody else reads the input: one Clip is the limit and the range of the grid."""
    (name,) = step.inputs
    x = lowering.raw(name) if name in lowering.plan.unrounded else lowering.integers(name)
    grid = lowering.grid(step.name)
    x = lowering.onto(x, grid, step.name)
    low, high = step.parameters
    unit = float(grid.scale.reshape(-1)[0])
    bottom = grid.low if np.isinf(low) or (not grid.uniform and low) else max(grid.low, round(low / unit))
    top = grid.high if np.isinf(high) or not grid.uniform else min(grid.high, round(high / unit))
    code = lowering.limited(x, bottom, top)
    return lowering.changed(code, code.name, shape=step.shape)


def _leaky(lowering: Lowering, step: Map) -> Code:
    """max(x, slope * x)."""
    x = lowering.integers(step.inputs[0])
    (slope,) = step.parameters
    if not 0 <= slope < 1:
        lowering.refuse(step.name, f"the slope {slope:g} is not from 0 to 1", "use another activation")
    fine = _SLOPE_BITS - int(np.frexp(max(slope, 2.0**-8))[1])
    factor = np.rint(slope * 2.0**fine) * 2.0**-fine
    below = lowering.add("Mul", x.name, lowering.constant(one(factor)))
    return lowering.changed(
        x,
        lowering.add("Max", x.name, below),
        step=np.array(-fine),
        low=np.where(x.low < 0, x.low * factor, x.low),
    )


def _hard_swish(lowering: Lowering, step: Map) -> Code:
    """x * HardSigmoid(x), whose slope and shift are powers of two in units of x's scale; else a table.

    A grid that suits another hard swish does not suit this one; and the product is too long where the input
    is small against the slope. Sums that nothing else reads are not rounded before: the product rounds once,
    and the prover knows its range for all channels together.
    """
    (name,) = step.inputs
    grid = lowering.grid(name)
    slope, shift = step.parameters
    alpha = slope * float(grid.scale.reshape(-1)[0])
    fine = -int(np.rint(np.log2(alpha)))
    if not np.isclose(alpha, 2.0**-fine, rtol=1e-9) or shift * 2**fine % 1:
        return curve(lowering, step)
    x = lowering.raw(name)
    fits = bool((-x.step <= bent_fine(step, grid)).all())
    loose = name in lowering.plan.bends and fits and not lowering.is_adjusted(x)
    if loose:
        x = lowering.limited(x, grid.low, grid.high)
    else:
        x = lowering.integers(name)
        if float(np.maximum(-x.low, x.high).max()) * 2**fine > SUM_MAX:
            return curve(lowering, step)
    factor = lowering.add("HardSigmoid", x.name, alpha=2.0**-fine, beta=shift)
    product = lowering.made(
        lowering.add("Mul", x.name, factor),
        step,
        scale=x.scale,
        fraction=-fine,
        low=min(x.low.min(), 0),
        high=max(x.high.max(), 0),
    )
    return lowering.changed(product, product.name, loose=loose)


def _clip_gives(step: Map) -> Want:
    """Only zero is the same limit in every scale, and a limit from above that the grid's end stands for."""
    low, _ = step.parameters
    free = low == 0 or all(isinf(each) for each in step.parameters)
    return Want(bits_max=LINEAR_BITS_MAX, per_channel=free)


AFFINE: Final = Rule(
    lower=_affine, wants=lambda step, index: Want(bits_max=_HARD_SWISH_BITS, per_channel=True)
)
CLIP: Final = Rule(
    lower=_clip,
    wants=lambda step, index: Want(bits_max=LINEAR_BITS_MAX, follows=True),
    gives=_clip_gives,
    ties=lambda step: (0,),
)
LEAKY: Final = Rule(lower=_leaky, wants=lambda step, index: Want(follows=True), ties=lambda step: (0,))
HARD_SWISH: Final = Rule(
    lower=_hard_swish,
    wants=lambda step, index: Want(bits_max=_HARD_SWISH_BITS, unit=1 / step.parameters[0]),
    gives=lambda step: Want(bits_max=_HARD_SWISH_BITS, unit=1 / step.parameters[0]),
    ties=lambda step: (0,),
)
