"""A program made ready for integers: fewer kinds of steps, and no affine map that weights can take in.

- a map that scales its input first becomes an affine map and the map proper; a hard sigmoid an affine map and
  a limit;
- a mean over a window becomes a convolution with equal weights, and, for bytes, one over the whole image;
- x + x * g becomes x * (g + 1), which needs one product fewer and rounds once;
- a product with a limited sum becomes a gate, which needs no integers of its own;
- affine maps melt into the linear step before them or, failing that, those after them;
- channels that are repeated or put in another order (a grey picture as three colours, BGR for RGB) melt into
  the weights of a convolution that reads them;
- one score through a sigmoid becomes two: 0 and itself.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Final

import numpy as np

from inference.converter.calibrate import View
from inference.converter.lower_linear import channel_axis, is_padded
from inference.converter.program import (
    Combination,
    Combine,
    Convolution,
    Form,
    Head,
    Map,
    Matrix,
    Move,
    Movement,
    Pool,
    Program,
    Reals,
    Reduce,
    Reduction,
    Shape,
    Sink,
    Step,
    Window,
    shapes_of,
)
from inference.refusal import refuse

_AREA_MAX: Final = 4096
"""Most elements of a mean by bytes: their sum leaves four bits of 24 for the weight."""

_PASSES_MAX: Final = 64
"""A chain of more affine maps than this is left to the lowering."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is lowered, and how its tensors follow from those of the float model."""

    program: Program
    aliases: Mapping[str, View]
    """Tensors that the float model does not have; the dimension of their channels is not known yet."""


def prepare(program: Program, int8: bool) -> Prepared:
    """Raises Refused for a mean whose windows are of different sizes. `int8`: whether all tensors are to be
    bytes."""
    shapes = shapes_of(program)
    aliases: dict[str, View] = {}
    steps: list[Step] = []
    for step in program.steps:
        steps += (_windowed(step, shapes, aliases) if int8 else []) or _simpler(step, shapes, aliases)
    steps = _gated(steps, program.sinks, aliases)
    for _ in range(_PASSES_MAX):
        changed = _absorbed(steps, program.sinks) or _gathered(steps, program.sinks, shapes)
        if changed is None:
            break
        steps = changed
    if not int8:
        steps = _parted(steps, program.sinks)
    return Prepared(_two_scores(replace(program, steps=tuple(steps))), aliases)


def _simpler(step: Step, shapes: Mapping[str, Shape], aliases: dict[str, View]) -> list[Step]:
    if isinstance(step, Pool) and step.reduction is Reduction.MEAN:
        return [_convolution(step, shapes[step.inputs[0]])]
    if not isinstance(step, Map) or step.form is Form.AFFINE:
        return [step]
    if step.form is Form.CURVE and step.scale.size == step.offset.size == 1:
        # One table for all channels holds the map as well.
        return [step]
    scale, offset, form, parameters = step.scale, step.offset, step.form, step.parameters
    if form is Form.HARD_SIGMOID:
        slope, shift = parameters
        scale, offset = scale * slope, offset * slope + shift
        form, parameters = Form.CLIP, (0.0, 1.0)
    if (scale == 1).all() and not offset.any():
        return [step]
    name = f"{step.name}/affine"
    aliases[name] = View(step.inputs[0], 0, scale, offset)
    affine = Map(
        name=name,
        inputs=step.inputs,
        shape=shapes[step.inputs[0]],
        form=Form.AFFINE,
        scale=scale,
        offset=offset,
        evaluate=step.evaluate,
    )
    unit, none = np.ones(()), np.zeros(())
    rest = replace(step, inputs=(name,), form=form, parameters=parameters, scale=unit, offset=none)
    return [affine, rest]


def _convolution(step: Pool, shape: Shape) -> Convolution:
    """A mean as a depthwise convolution."""
    padded = any((*step.window.before, *step.window.after))
    if padded and not step.counts_padding:
        refuse("a mean that leaves out the padding has windows of different sizes: pad without", step.name)
    channels = shape[1]
    weights = np.full((channels, 1, *step.window.kernel), 1 / prod(step.window.kernel))
    return Convolution(
        name=step.name,
        inputs=step.inputs,
        shape=step.shape,
        weights=weights,
        bias=np.zeros(channels),
        window=step.window,
        groups=channels,
    )


def _windowed(step: Step, shapes: Mapping[str, Shape], aliases: dict[str, View]) -> list[Step]:
    """A mean over whole images as one window of a convolution, which goes from bytes to bytes."""
    if not isinstance(step, Reduce) or step.reduction is not Reduction.MEAN:
        return []
    shape = shapes[step.inputs[0]]
    sizes = shape[2:]
    if not sizes or step.axes != tuple(range(2, len(shape))) or prod(sizes) > _AREA_MAX:
        return []
    ones, zeros, channels = (1,) * len(sizes), (0,) * len(sizes), shape[1]
    name = step.name if step.keep else f"{step.name}/window"
    mean = Convolution(
        name=name,
        inputs=step.inputs,
        shape=(*shape[:2], *ones),
        weights=np.full((channels, 1, *sizes), 1 / prod(sizes)),
        bias=np.zeros(channels),
        window=Window(kernel=sizes, strides=ones, dilations=ones, before=zeros, after=zeros),
        groups=channels,
    )
    if step.keep:
        return [mean]
    aliases[name] = View(step.name, 0)
    return [mean, Move(name=step.name, inputs=(name,), shape=step.shape, movement=Movement.RESHAPE)]


def _gated(steps: list[Step], sinks: tuple[Sink, ...], aliases: dict[str, View]) -> list[Step]:
    """x + x * g as x * (g + 1)."""
    makers = {step.name: step for step in steps}
    kept = {sink.step for sink in sinks}
    found: dict[str, list[Step]] = {}
    for step in steps:
        if not isinstance(step, Combine) or step.combination is not Combination.ADD:
            continue
        for x, name in (step.inputs, step.inputs[::-1]):
            product = makers.get(name)
            single = sum(each.inputs.count(name) for each in steps) == 1 and name not in kept
            if not isinstance(product, Combine) or product.combination is not Combination.MULTIPLY:
                continue
            if x not in product.inputs or not single or name in found:
                continue
            gate = product.inputs[1 - product.inputs.index(x)]
            if gate not in makers:
                continue
            name_of_gate = f"{step.name}/gate"
            aliases[name_of_gate] = View(gate, 0, np.ones(()), np.ones(()))
            more = Map(
                name=name_of_gate,
                inputs=(gate,),
                shape=makers[gate].shape,
                form=Form.AFFINE,
                scale=np.ones(()),
                offset=np.ones(()),
                evaluate=_itself,
            )
            found[name] = []
            found[step.name] = [more, replace(product, name=step.name, inputs=(x, more.name))]
            break
    return [each for step in steps for each in found.get(step.name, [step])]


def _parted(steps: list[Step], sinks: tuple[Sink, ...]) -> list[Step]:
    """Products with a limited sum from 0 to 1 as gates."""
    makers = {step.name: step for step in steps}
    kept = {sink.step for sink in sinks}
    read = Counter(name for step in steps for name in step.inputs)

    def is_part(name: str) -> bool:
        limit = makers.get(name)
        if not isinstance(limit, Map) or limit.form is not Form.CLIP or limit.parameters != (0.0, 1.0):
            return False
        alone = all(read[each] == 1 and each not in kept for each in (name, *limit.inputs))
        return alone and isinstance(makers.get(limit.inputs[0]), Convolution | Matrix)

    def parted(step: Step) -> Step:
        if isinstance(step, Combine) and step.combination is Combination.MULTIPLY and step.name not in kept:
            for x, gate in (step.inputs, step.inputs[::-1]):
                if is_part(gate) and x in makers and makers[x].shape == step.shape:
                    return replace(step, inputs=(x, gate), combination=Combination.GATE)
        return step

    return [parted(step) for step in steps]


def _itself(values: Reals) -> Reals:
    return values


def _absorbed(steps: list[Step], sinks: tuple[Sink, ...]) -> list[Step] | None:
    """The steps with one affine map fewer, or None if none can go."""
    makers = {step.name: step for step in steps}
    kept = {sink.step for sink in sinks}
    for step in steps:
        if not isinstance(step, Map) or step.form is not Form.AFFINE:
            continue
        x = step.inputs[0]
        readers = [each for each in steps if x in each.inputs]
        maker = makers.get(x)
        alone = len(readers) == 1 and x not in kept
        after = _after(maker, step) if alone and isinstance(maker, Convolution | Matrix) else None
        if after:
            return [after if each is maker else each for each in steps if each is not step]
        if step.name in kept:
            continue
        replaced = {each.name: _before(each, step) for each in steps if step.name in each.inputs}
        if all(replaced.values()):
            return [replaced.get(each.name) or each for each in steps if each is not step]
    return None


def _gathered(steps: list[Step], sinks: tuple[Sink, ...], shapes: Mapping[str, Shape]) -> list[Step] | None:
    """The steps with one choice of channels fewer, or None if none can go.

    What uses only a part of the channels stays: weights of 0 for the others would cost more.
    """
    kept = {sink.step for sink in sinks}
    for move in steps:
        if not isinstance(move, Move) or move.movement is not Movement.GATHER or move.name in kept:
            continue
        shape, indices = shapes[move.inputs[0]], move.arguments["indices"]
        readers = [each for each in steps if move.name in each.inputs]
        if move.arguments["axis"] != (1,) or len(move.shape) != len(shape) or len({*indices}) != shape[1]:
            continue
        found = {each.name: _by_source(each, move, shape[1]) for each in readers}
        if all(found.values()):
            return [found.get(each.name) or each for each in steps if each is not move]
    return None


def _by_source(reader: Step, move: Move, channels: int) -> Step | None:
    """A convolution that takes the channels as they were; None for any other step."""
    if not isinstance(reader, Convolution) or reader.groups > 1 or reader.transposed:
        return None
    weights = np.zeros((reader.weights.shape[0], channels, *reader.weights.shape[2:]))
    for at, index in enumerate(move.arguments["indices"]):
        weights[:, index] += reader.weights[:, at]
    return replace(reader, inputs=move.inputs, weights=weights)


def along(values: Reals, shape: Shape, axis: int) -> Reals | None:
    """The numbers of a map's scale or offset along one dimension; None if they vary along another.

    `values` broadcast against the shape without its batch; a single number stands for all.
    """
    if values.size == 1:
        return values.reshape(())
    full = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    if full.shape[axis] != values.size:
        return None
    return values.reshape(-1)


def _after(maker: Convolution | Matrix, affine: Map) -> Step | None:
    """The linear step and the map in one, if the map does the same along each channel."""
    axis = channel_axis(maker)
    scale, offset = (along(each, affine.shape, axis) for each in (affine.scale, affine.offset))
    if scale is None or offset is None:
        return None
    outputs = len(maker.bias)
    scale, bias = np.broadcast_to(scale, (outputs,)), np.broadcast_to(offset, (outputs,))
    return replace(maker, name=affine.name, weights=_per_output(maker, scale), bias=maker.bias * scale + bias)


def _per_output(step: Convolution | Matrix, scale: Reals) -> Reals:
    if isinstance(step, Matrix):
        return step.weights * scale
    trailing = (1,) * (step.weights.ndim - 2)
    if not step.transposed:
        return step.weights * scale.reshape(-1, 1, *trailing)
    groups = step.groups
    inputs = step.weights.shape[0] // groups
    per_row = np.repeat(scale.reshape(groups, -1), inputs, axis=0)
    return step.weights * per_row.reshape(*step.weights.shape[:2], *trailing)


def _before(reader: Step, affine: Map) -> Step | None:
    """The linear step that does the map first; None if it cannot, as with an offset before padding."""
    if not isinstance(reader, Convolution | Matrix):
        return None
    axis = channel_axis(reader)
    scale, offset = (along(each, affine.shape, axis) for each in (affine.scale, affine.offset))
    if scale is None or offset is None or (offset.any() and is_padded(reader)):
        return None
    inputs = affine.shape[axis]
    scale, offset = np.broadcast_to(scale, (inputs,)), np.broadcast_to(offset, (inputs,))
    weights = _per_input(reader, scale)
    shift = _sums(reader, _per_input(reader, offset))
    return replace(reader, inputs=affine.inputs, weights=weights, bias=reader.bias + shift)


def _per_input(step: Convolution | Matrix, values: Reals) -> Reals:
    """The weights, each times the number of the input channel that it meets."""
    if isinstance(step, Matrix):
        return step.weights * values[:, None]
    trailing = (1,) * (step.weights.ndim - 2)
    if step.transposed:
        return step.weights * values.reshape(-1, 1, *trailing)
    outputs = step.weights.shape[0] // step.groups
    per_row = np.repeat(values.reshape(step.groups, -1), outputs, axis=0)
    return step.weights * per_row.reshape(*step.weights.shape[:2], *trailing)


def _sums(step: Convolution | Matrix, weights: Reals) -> Reals:
    """The sum of the weights of each output."""
    if isinstance(step, Matrix):
        sums: Reals = weights.sum(axis=0)
    elif not step.transposed:
        sums = weights.sum(axis=tuple(range(1, weights.ndim)))
    else:
        parts = weights.reshape(step.groups, -1, *weights.shape[1:])
        sums = parts.sum(axis=(1, *range(3, parts.ndim))).reshape(-1)
    return sums


def _two_scores(program: Program) -> Program:
    """For a matrix with one output before a sigmoid: the greater of two scores is then the class."""
    steps, sinks = list(program.steps), []
    for sink in program.sinks:
        at = next((index for index, step in enumerate(steps) if step.name == sink.step), None)
        last = steps[at] if at is not None else None
        read = sum(sink.step in step.inputs for step in steps) + sum(
            each.step == sink.step for each in program.sinks
        )
        if sink.head is Head.SIGMOID and isinstance(last, Matrix) and len(last.bias) == 1 and read == 1:
            assert at is not None
            steps[at] = replace(
                last,
                shape=(*last.shape[:-1], 2),
                weights=np.concatenate([np.zeros_like(last.weights), last.weights], axis=1),
                bias=np.concatenate([[0.0], last.bias]),
            )
            sinks.append(replace(sink, class_axis=len(last.shape) - 1))
        else:
            sinks.append(sink)
    return replace(program, steps=tuple(steps), sinks=tuple(sinks))
