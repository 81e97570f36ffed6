"""Convolutions and products with constant matrices: all scales and offsets melt into their weights."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.converter.code import Code, Grid, channel_array
from inference.converter.lower_moves import looked_up
from inference.converter.lowering import Lowering, hull_of_sum
from inference.converter.program import Convolution, Integers, Map, Matrix, Reals, Step
from inference.converter.rounding import rounding
from inference.converter.rule import LINEAR_BITS_MAX, Rule, Want
from inference.converter.splitting import LOST_MAX, Split, channels_of, part_of, split
from inference.converter.sums import (
    FINE_MAX,
    Kernel,
    Rounded,
    Terms,
    Whole,
    carried,
    finest,
    kernel_of,
    nearest,
    shaped,
)
from inference.graph import AttributeValue

_WEIGHT_BITS_MIN: Final = 4
"""Fewest bits of weights, for the coarsest output: with less they are noise."""

_BENT_WEIGHT_BITS_MIN: Final = 10
"""Fewest bits of weights whose sums a hard swish takes unrounded; else it takes finer sums, rounded."""

_WEIGHT_MAX: Final = 2**23

_INT8_WEIGHT_MAX: Final = 64
"""What every engine's kernels for bytes compute without saturation (`inference/twin/linear.py`)."""


def is_linear(step: Step | None) -> bool:
    return isinstance(step, Convolution | Matrix)


def channel_axis(step: Convolution | Matrix) -> int:
    """The dimension of input and result along which the weights' channels run."""
    return 1 if isinstance(step, Convolution) else len(step.shape) - 1


def is_padded(step: Step) -> bool:
    """Whether zeros are added around the input, so that an offset of it cannot go into the bias."""
    return isinstance(step, Convolution) and (
        step.transposed or any(step.window.before) or any(step.window.after)
    )


def _lower(lowering: Lowering, step: Convolution | Matrix) -> Code:
    """One node; its sums are not rounded yet."""
    axis = channel_axis(step)
    x = _readable(lowering, step, axis)
    grid = lowering.grid(step.name)
    if x.offset.any() and is_padded(step):
        x = _centred(lowering, x)
        if step.name in lowering.plan.bends and lowering.is_adjusted(x):
            # Whole already: this keeps the shift from the product that takes the sums unrounded.
            x = lowering.changed(x, lowering.add("Round", x.name))
    kernel = in_units(kernel_of(step), x, grid, axis)
    spread = lowering.plan.spreads.get(step.inputs[0])
    mean = np.zeros(()) if spread is None else spread.mean
    mean = mean if mean.size == x.shape[axis] else mean.mean()
    rank = len(step.shape)
    terms = Terms(
        low=_limits(x.low, rank, axis, np.min) * 2.0 ** -_along(x.step),
        high=_limits(x.high, rank, axis, np.max) * 2.0 ** -_along(x.step),
        mean=(mean - _along(x.offset)) / _along(x.scale) * 2.0 ** -_along(x.step),
    )
    most, rounded = _most(lowering, step), _rounded(lowering, step, kernel, x)
    whole = None
    if step.name in lowering.plan.bends:
        bent = bent_fine(lowering.plan.bends[step.name], grid)
        whole = finest(kernel, terms, *most[:2], bent, rounded)
    if whole is None or whole.bits < _BENT_WEIGHT_BITS_MIN:
        whole = finest(kernel, terms, *most, rounded)
    if whole is not None and whole.bits >= _WEIGHT_BITS_MIN:
        lowering.weight_bits[step.name] = whole.bits
        parts = (np.ldexp(whole.weights, -whole.fine[:, None, None]), np.ldexp(whole.bias, -whole.fine))
        name, fine, ends = _node(lowering, step, x, *parts), whole.fine, (whole.low, whole.high)
    else:
        in_parts = _in_parts(lowering, step, kernel, terms, most, whole)
        name, fine, ends = _added(lowering, step, x, in_parts), in_parts.fine, (in_parts.low, in_parts.high)
    low, high = (channel_array(each, rank, axis) for each in ends)
    return lowering.made(name, step, fraction=channel_array(-fine, rank, axis), low=low, high=high)


def _readable(lowering: Lowering, step: Convolution | Matrix, axis: int) -> Code:
    """The input, with scales that vary along its channels only."""
    name = step.inputs[0]
    if any(each.read == name for each in lowering.plan.deferred.values()):
        grid = lowering.grid(name)
        return lowering.limited(lowering.raw(name), grid.low, grid.high)
    x = lowering.whole(name)
    varies = [at for at, size in enumerate(np.broadcast_shapes(x.scale.shape, x.offset.shape)) if size > 1]
    rank = len(x.shape)
    offset = rank - max(x.scale.ndim, x.offset.ndim)
    return x if all(at + offset == axis for at in varies) else lowering.integers(name)


def _centred(lowering: Lowering, x: Code) -> Code:
    """The whole part of the offset added, so that zero is (almost) what the padding stands for.

    The rest, less than half a step, goes into the bias.
    """
    whole = np.rint(x.offset / x.scale)
    if not whole.any():
        return x
    name = lowering.add("Add", x.name, lowering.constant(whole))
    low, high = hull_of_sum((x.low, x.high), (whole, whole))
    return lowering.changed(x, name, offset=x.offset - whole * x.scale, low=low, high=high)


def in_units(kernel: Kernel, x: Code, grid: Grid, axis: int) -> Kernel:
    """The weights for steps of `x`, with results in units of the grid."""
    units = grid.scale.reshape(-1)
    weights = kernel.weights * kernel.of_inputs(_along(x.scale))
    bias = kernel.bias + (kernel.weights * kernel.of_inputs(_along(x.offset))).sum(axis=(1, 2))
    steps = kernel.of_inputs(2.0 ** _along(x.step))
    return Kernel(weights * steps / units[:, None, None], bias / units, kernel.sources)


def _along(values: NDArray[Any]) -> NDArray[Any]:
    """The numbers along the one dimension along which an array varies."""
    return values.reshape(-1) if values.size > 1 else values.reshape(())


def _limits(values: Reals, rank: int, axis: int, extreme: Callable[[Reals], float]) -> Reals:
    """Per channel, if they vary along nothing else: the prover knows limits along one dimension."""
    varies = [at + rank - values.ndim for at, size in enumerate(values.shape) if size > 1]
    return values.reshape(-1) if varies == [axis] else np.asarray(extreme(values))


def _rounded(lowering: Lowering, step: Convolution | Matrix, kernel: Kernel, x: Code) -> Rounded:
    """How the weights are rounded: together, if it is known how their inputs go together, or if these are
    neighbours in one channel."""
    known = lowering.plan.correlations.get(step.name)
    if known is None:
        return carried if kernel.weights.shape[1] == 1 else nearest
    return rounding(known, kernel, _along(x.scale) * 2.0 ** _along(x.step)).whole


def _most(lowering: Lowering, step: Convolution | Matrix) -> tuple[float, float, Integers | int]:
    """What will be added to the sums, the greatest weight, and the finest step that the sums may have."""
    options = lowering.plan.options
    cap = _WEIGHT_MAX if options.weight_bits is None else 2 ** (options.weight_bits - 1) - 1
    cap = _INT8_WEIGHT_MAX if options.int8 else cap
    fine_max: Integers | int = 0 if step.name in lowering.plan.scores else FINE_MAX
    deferral = lowering.plan.deferred.get(step.name)
    if deferral is not None:
        fine_max = deferral.bits - lowering.grid(deferral.read).magnitude.bit_length()
    addend = lowering.plan.addends.get(step.name)
    room = lowering.magnitude(addend, lowering.grid(step.name).scale) if addend else 0.0
    return room, cap, fine_max


def bent_fine(bend: Map, grid: Grid) -> int:
    """Most bits behind the point of sums that a hard swish takes unrounded.

    What it adds up, and its 1, take the others of 24.
    """
    slope, shift = bend.parameters
    unit = 1 / (slope * float(grid.scale.reshape(-1)[0]))
    return 23 - int(max(grid.magnitude + shift * unit, unit)).bit_length()


def _in_parts(
    lowering: Lowering,
    step: Convolution | Matrix,
    kernel: Kernel,
    terms: Terms,
    most: tuple[float, float, Integers | int],
    whole: Whole | None,
) -> Split:
    """Where one sum has too few bits. Products of bytes are never split."""
    found = None if lowering.plan.options.int8 else split(kernel, terms, *most)
    if found is None or (found.bits < _WEIGHT_BITS_MIN and found.lost > LOST_MAX):
        bits = found.bits if found is not None else whole.bits if whole is not None else 1
        lowering.refuse(
            step.name,
            f"24 bits leave {max(bits - 1, 0) or 'none'} for weights, which need {_WEIGHT_BITS_MIN - 1}",
            "give fewer bits to its input (more weight bits), or scale its weights more evenly",
        )
    lowering.weight_bits[step.name] = found.bits
    return found


def _added(lowering: Lowering, step: Convolution | Matrix, x: Code, found: Split) -> str:
    """A node and a Round for each part, then the sum of all, back in units of the result."""
    rank, axis = len(step.shape), channel_axis(step)
    names = []
    for part in found.parts:
        whole = part.whole
        some = replace(step, weights=part_of(step, part))
        chosen = x
        if len(found.parts) > 1:
            channels = channels_of(step, part, x.shape[axis])
            chosen = _chosen(lowering, x, channels, axis)
        weights = np.ldexp(whole.weights, (found.fine - whole.fine)[:, None, None])
        name = _node(lowering, some, chosen, weights, np.zeros_like(whole.bias))
        names.append(lowering.add("Round", name))
    name = names[0]
    for other in names[1:]:
        name = lowering.add("Add", name, other)
    if found.bias.any():
        name = lowering.add("Add", name, lowering.constant(channel_array(found.bias, rank, axis)))
    if found.fine.any():
        factor = channel_array(np.ldexp(1.0, -found.fine), rank, axis)
        name = lowering.add("Mul", name, lowering.constant(factor))
    return name


def _chosen(lowering: Lowering, x: Code, channels: tuple[int, ...], axis: int) -> Code:
    """Some channels of the input."""
    along = len(x.shape) - axis
    step = x.step.take(channels, -along) if x.step.ndim >= along and x.step.shape[-along] > 1 else x.step
    shape = tuple(len(channels) if at == axis else size for at, size in enumerate(x.shape))
    return lowering.changed(x, looked_up(lowering, x.name, channels, axis), shape=shape, step=step)


def _node(lowering: Lowering, step: Convolution | Matrix, x: Code, weights: Reals, bias: Reals) -> str:
    steps = kernel_of(step).of_inputs(2.0 ** -_along(x.step))
    if isinstance(step, Convolution) and _is_of_points(step, x) and not lowering.plan.options.int8:
        return _of_points(lowering, step, x, weights * steps, bias)
    parts = [x.name, lowering.constant(shaped(step, weights * steps))]
    if isinstance(step, Convolution):
        if bias.any():
            parts.append(lowering.constant(bias))
        return lowering.add("ConvTranspose" if step.transposed else "Conv", *parts, **_attributes(step))
    if len(x.shape) == 2:
        return lowering.add("Gemm", *parts, *([lowering.constant(bias)] if bias.any() else []))
    name = lowering.add("MatMul", *parts)
    return lowering.add("Add", name, lowering.constant(bias)) if bias.any() else name


def _is_of_points(step: Convolution, x: Code) -> bool:
    """Whether it only mixes the channels of images of one point."""
    plain = step.groups == 1 and not step.transposed and not is_padded(step)
    return plain and prod(x.shape[2:]) == 1


def _of_points(lowering: Lowering, step: Convolution, x: Code, weights: Reals, bias: Reals) -> str:
    """A product of matrices, which engines start sooner than a convolution, and without another layout."""
    rows, image = (lowering.constant(np.array(each)) for each in (x.shape[:2], step.shape))
    name = lowering.add("Reshape", x.name, rows)
    matrix = lowering.constant(np.ascontiguousarray(weights[:, :, 0].T))
    biases = [lowering.constant(bias)] if bias.any() else []
    return lowering.add("Reshape", lowering.add("Gemm", name, matrix, *biases), image)


def _attributes(step: Convolution) -> dict[str, AttributeValue]:
    window = step.window
    attributes: dict[str, AttributeValue] = {
        "dilations": window.dilations,
        "group": step.groups,
        "kernel_shape": window.kernel,
        "pads": (*window.before, *window.after),
        "strides": window.strides,
    }
    if step.transposed:
        attributes["output_padding"] = step.output_padding or (0,) * len(window.kernel)
    return attributes


def _any(step: Step, index: int = 0) -> Want:
    return Want(bits_max=LINEAR_BITS_MAX, per_channel=True)


CONVOLUTION: Final = Rule(lower=_lower, wants=_any, gives=_any)
MATRIX: Final = Rule(lower=_lower, wants=_any, gives=_any)
