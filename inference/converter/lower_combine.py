"""Two tensors met element by element, and tensors drawn together by maxima, minima, sums and means."""

from collections.abc import Mapping
from math import prod
from typing import Final

import numpy as np

from inference.converter.code import Code, Grid, one
from inference.converter.lowering import SUM_MAX, Lowering, hull_of_sum
from inference.converter.program import Combination, Combine, Pool, Reals, Reduce, Reduction, Shape
from inference.converter.rule import Rule, Want
from inference.graph import AttributeValue

_OPERATORS: Final = {
    Combination.ADD: "Add",
    Combination.SUBTRACT: "Sub",
    Combination.MAXIMUM: "Max",
    Combination.MINIMUM: "Min",
}

_FACTOR_BITS: Final = 10
"""Most bits of the factors of a product, so that two of them leave room."""


def _combine(lowering: Lowering, step: Combine) -> Code:
    if step.combination is Combination.MULTIPLY:
        return _multiply(lowering, step)
    if step.combination is Combination.GATE:
        return _gate(lowering, step)
    if step.combination is Combination.DIVIDE:
        return _divide(lowering, step)
    grid, sides = lowering.grid(step.name), []
    for name in step.inputs:
        code = lowering.raw(name) if name in lowering.plan.unrounded else lowering.integers(name)
        code = lowering.onto(code, grid, step.name)
        if lowering.by_convolution(code) and step.name not in lowering.plan.unrounded:
            own = lowering.grid(name)
            code = lowering.limited(code, own.low, own.high)
        sides.append(code)
    left, right = sides
    ends = {
        Combination.ADD: hull_of_sum((left.low, left.high), (right.low, right.high)),
        Combination.SUBTRACT: hull_of_sum((left.low, left.high), (-right.high, -right.low)),
        Combination.MAXIMUM: (np.maximum(left.low, right.low), np.maximum(left.high, right.high)),
        Combination.MINIMUM: (np.minimum(left.low, right.low), np.minimum(left.high, right.high)),
    }[step.combination]
    return lowering.made(
        lowering.add(_OPERATORS[step.combination], left.name, right.name),
        step,
        fraction=np.minimum(left.step, right.step),
        low=ends[0],
        high=ends[1],
    )


def _multiply(lowering: Lowering, step: Combine) -> Code:
    """The product of integers, times the power of two that brings it nearest to the grid's scale.

    That factor goes into the smaller of the two.
    """
    left, right = (lowering.integers(name) for name in step.inputs)
    product = left.scale * right.scale
    octaves = np.rint(np.log2(product / lowering.grid(step.name).scale)).astype(np.int64)
    octaves = octaves.max() if (octaves == octaves.max()).all() else octaves
    corners = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
    low, high = (np.ldexp(f(corners), octaves) for f in (_least, _greatest))
    greatest = float(np.max(np.abs(corners)))
    if greatest > SUM_MAX:
        bits = int(greatest).bit_length()
        lowering.refuse(step.name, f"the product needs {bits} bits, there are 24", "use fewer bits")
    first, second = left.name, right.name
    if first in lowering.constants:
        left, right, first, second = right, left, second, first
    if octaves.any():
        factor = lowering.constant(np.ldexp(1.0, octaves))
        fixed = second in lowering.constants
        if _carries(left, octaves.shape) and (
            fixed or prod(left.shape) < prod(right.shape) or not _carries(right, octaves.shape)
        ):
            first = lowering.add("Mul", first, factor)
        else:
            second = lowering.add("Mul", second, factor)
    return lowering.made(
        lowering.add("Mul", first, second),
        step,
        scale=np.ldexp(product, -octaves),
        fraction=np.minimum(octaves, 0),
        low=low,
        high=high,
    )


def _gate(lowering: Lowering, step: Combine) -> Code:
    """Whole numbers times a part of one that was not rounded: the product rounds once, and keeps their units.

    A part that constants met, as that of a sum in parts, is rounded to as many bits as the product leaves.
    """
    x = lowering.integers(step.inputs[0])
    part = lowering.raw(step.inputs[1])
    magnitude = float(np.maximum(-x.low, x.high).max())
    name, fine = part.name, -part.step
    if any(map(lowering.is_adjusted, (x, part))):
        fine = np.array(int(SUM_MAX / max(magnitude, 1)).bit_length() - 1)
        units = [lowering.constant(np.ldexp(1.0, each)) for each in (fine, -fine)]
        name = lowering.add("Round", lowering.add("Mul", name, units[0]))
        name = lowering.add("Mul", name, units[1])
    product = lowering.made(
        lowering.add("Mul", x.name, name),
        step,
        scale=x.scale,
        fraction=np.minimum(-fine, -1),
        low=min(x.low.min(), 0),
        high=max(x.high.max(), 0),
    )
    return lowering.changed(product, product.name, loose=True)


def _divide(lowering: Lowering, step: Combine) -> Code:
    """The quotient of integers, rounded once, in units of the grid. Only what is above zero may divide."""
    top, bottom = (lowering.integers(name) for name in step.inputs)
    seen, grid = lowering.plan.spreads[step.inputs[1]], lowering.grid(step.name)
    if seen.low.min() < 0:
        lowering.refuse(
            step.name, "what it is divided by may be zero or below", "divide by what is above zero"
        )
    bottom = lowering.limited(bottom, 1.0, max(1.0, float(bottom.high.max())))
    factor = (top.scale / bottom.scale / grid.scale).astype(np.float32).astype(np.float64)
    quotient = lowering.add("Div", lowering.add("Round", top.name), lowering.add("Round", bottom.name))
    scaled = lowering.add("Mul", quotient, lowering.constant(factor))
    ends = (lowering.constant(one(float(each))) for each in (grid.low, grid.high))
    name = lowering.add("Round", lowering.add("Clip", scaled, *ends))
    return lowering.made(name, step, low=float(grid.low), high=float(grid.high))


def _least(corners: list[Reals]) -> Reals:
    return np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))


def _greatest(corners: list[Reals]) -> Reals:
    return np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))


def _carries(code: Code, shape: tuple[int, ...]) -> bool:
    """Whether a factor of that shape leaves the code's shape as it is."""
    return np.broadcast_shapes(code.shape, shape) == code.shape


def _combine_ties(step: Combine) -> tuple[int, ...]:
    if step.combination is Combination.GATE:
        return (0,)
    return () if step.combination in (Combination.DIVIDE, Combination.MULTIPLY) else (0, 1)


def _combine_wants(step: Combine, index: int) -> Want:
    if step.combination is Combination.MULTIPLY:
        return Want(bits_max=_FACTOR_BITS, follows=True)
    if step.combination is Combination.GATE and index == 1:
        return Want(scale=1.0)
    return Want(follows=True)


def _combine_derives(step: Combine, grids: Mapping[str, Grid], shapes: Mapping[str, Shape]) -> Reals | None:
    if step.combination is not Combination.MULTIPLY:
        return None
    left, right = (grids[name].scale for name in step.inputs)
    return left * right


def _max_pool(lowering: Lowering, step: Pool) -> Code:
    """Before rounding, if nobody else reads the input: the greatest rounded is the rounded greatest."""
    (name,) = step.inputs
    unrounded = name in lowering.plan.unrounded and not lowering.raw(name).loose
    x = lowering.raw(name) if unrounded else lowering.integers(name)
    window = step.window
    attributes: dict[str, AttributeValue] = {
        "dilations": window.dilations,
        "kernel_shape": window.kernel,
        "pads": (*window.before, *window.after),
        "strides": window.strides,
    }
    return lowering.changed(x, lowering.add("MaxPool", x.name, **attributes), shape=step.shape)


def _reduce(lowering: Lowering, step: Reduce) -> Code:
    x = lowering.integers(step.inputs[0])
    keep = int(step.keep)
    if step.reduction in (Reduction.MAX, Reduction.MIN):
        operator = "ReduceMax" if step.reduction is Reduction.MAX else "ReduceMin"
        name = lowering.add(operator, x.name, axes=step.axes, keepdims=keep)
        low, high = _ends(x, step)
        return lowering.changed(x, name, shape=step.shape, step=x.step.min(), low=low, high=high)
    count = prod(x.shape[axis] for axis in step.axes)
    reach = float(np.maximum(-x.low, x.high).max()) * count
    if reach > SUM_MAX:
        bits = int(reach).bit_length()
        lowering.refuse(step.name, f"the sum needs {bits} bits, there are 24", "use fewer bits")
    axes = lowering.constant(np.array(step.axes, dtype=np.int64))
    name = lowering.add("ReduceSum", x.name, axes, keepdims=keep)
    scale = reduced(x.scale, step, x.shape) / _divisor(step, x.shape)
    octaves = np.rint(np.log2(scale / lowering.grid(step.name).scale)).astype(np.int64)
    if step.name in lowering.plan.means:
        octaves = np.zeros_like(octaves)
    if octaves.any():
        name = lowering.add("Mul", name, lowering.constant(np.ldexp(1.0, octaves)))
    low, high = (each * count for each in _ends(x, step))
    return lowering.made(
        name,
        step,
        scale=np.ldexp(scale, -octaves),
        fraction=np.minimum(octaves, 0),
        low=np.ldexp(low, octaves),
        high=np.ldexp(high, octaves),
    )


def _ends(x: Code, step: Reduce) -> tuple[Reals, Reals]:
    """Least and greatest of what is reduced together."""
    ends = []
    for values, extreme in ((x.low, np.min), (x.high, np.max)):
        full = values.reshape((1,) * (len(x.shape) - values.ndim) + values.shape)
        ends.append(reduced(extreme(full, axis=step.axes, keepdims=True), step, x.shape))
    return ends[0], ends[1]


def reduced(values: Reals, step: Reduce, shape: tuple[int, ...]) -> Reals:
    """What broadcasts against the input, against the result; it must not vary along what is reduced."""
    if values.size == 1:
        return values.reshape(())
    full = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    return full if step.keep else full.squeeze(step.axes)


def _reduce_ties(step: Reduce) -> tuple[int, ...]:
    return (0,) if step.reduction in (Reduction.MAX, Reduction.MIN) else ()


def _reduce_wants(step: Reduce, index: int) -> Want:
    return Want(follows=step.reduction in (Reduction.MEAN, Reduction.SUM))


def _reduce_gives(step: Reduce) -> Want:
    return Want(per_channel=step.reduction in (Reduction.MEAN, Reduction.SUM))


def _reduce_derives(step: Reduce, grids: Mapping[str, Grid], shapes: Mapping[str, Shape]) -> Reals | None:
    """A mean's scale is its input's by the count."""
    (name,) = step.inputs
    if step.reduction in (Reduction.MAX, Reduction.MIN):
        return None
    return reduced(grids[name].scale, step, shapes[name]) / _divisor(step, shapes[name])


def _divisor(step: Reduce, shape: Shape) -> int:
    return prod(shape[axis] for axis in step.axes) if step.reduction is Reduction.MEAN else 1


COMBINE: Final = Rule(lower=_combine, wants=_combine_wants, ties=_combine_ties, derives=_combine_derives)
POOL: Final = Rule(lower=_max_pool, wants=lambda step, index: Want(follows=True), ties=lambda step: (0,))
REDUCE: Final = Rule(
    lower=_reduce, wants=_reduce_wants, gives=_reduce_gives, ties=_reduce_ties, derives=_reduce_derives
)
