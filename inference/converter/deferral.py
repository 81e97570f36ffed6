"""What may be read unrounded: sums by a depthwise convolution, and means by a product with few terms.

It saves a Round and two changes of layout, or a product and a limit.
A depthwise sum has few terms, so that its inputs may have many bits: those of integers and, behind the point,
those of the weights that made them. What the two sets of weights have to share is 24 bits less the terms.
"""

from math import prod
from typing import Final

import numpy as np

from inference.converter.groups import Wiring
from inference.converter.plan import Deferral
from inference.converter.program import (
    Convolution,
    Form,
    Integers,
    Map,
    Matrix,
    Move,
    Movement,
    Reduce,
    Reduction,
    Step,
)
from inference.converter.sums import SUM_MAX, kernel_of

DEFERRED_BITS: Final = 8
"""Bits before the point of what is read unrounded: they only say how far a limit reaches."""

NOISE_MAX: Final = 3e-4
"""Greatest predicted variance of the error of a sum that is left unrounded, by that of the sum: 1.7 %."""

MEAN_NOISE_MAX: Final = 1e-4
"""The same for a sum over means that are not rounded: 1 %."""

_DEPTHWISE_BITS: Final = 6
"""Bits of the depthwise weights, without the sign."""


def deferrals(wiring: Wiring) -> dict[str, Deferral]:
    """By the name of the convolution that makes the sums."""
    found = {}
    for reader in wiring.program.steps:
        if not isinstance(reader, Convolution) or not _is_depthwise(reader):
            continue
        (read,) = reader.inputs
        maker = wiring.steps.get(read)
        if isinstance(maker, Map) and maker.form is Form.CLIP and wiring.sole_reader(read):
            maker = wiring.steps.get(maker.inputs[0])
        if isinstance(maker, Convolution) and wiring.sole_reader(maker.name) and wiring.sole_reader(read):
            found[maker.name] = Deferral(maker.name, read, _bits(reader))
    return found


def means(wiring: Wiring) -> dict[str, int]:
    """Means that only linear steps read, perhaps in another shape, and the count of what each is taken over.

    The sum of that many integers has log2 of the count more bits than they. Not where scores are made of
    means: these get all the bits there are.
    """
    found = {}
    for step in wiring.program.steps:
        if isinstance(step, Reduce) and step.reduction is Reduction.MEAN:
            reader = wiring.sole_reader(step.name)
            shaped = isinstance(reader, Move) and reader.movement is Movement.RESHAPE
            read = reader.name if reader is not None and shaped else step.name
            readers = [each for each, _ in wiring.readings[read]]
            ends = (read, step.name, *(each.name for each in readers))
            if wiring.sinks.isdisjoint(ends) and all(map(_is_plain, readers)):
                shape = wiring.shapes[step.inputs[0]]
                found[step.name] = prod(shape[axis] for axis in step.axes)
    return found


def _is_plain(step: Step) -> bool:
    return isinstance(step, Matrix) or (isinstance(step, Convolution) and not step.transposed)


def _is_depthwise(step: Convolution) -> bool:
    return step.groups > 1 and step.weights.shape[1] == 1 and not step.transposed


def _bits(reader: Convolution) -> Integers:
    """What the depthwise weights and their terms leave of 24, for each input channel."""
    kernel = kernel_of(reader)
    magnitudes = np.abs(kernel.weights)
    terms = magnitudes.sum(axis=(1, 2)) / np.maximum(magnitudes.max(axis=(1, 2)), 2.0**-100)
    bits = np.floor(np.log2(SUM_MAX / np.maximum(terms, 1.0))) - _DEPTHWISE_BITS
    least: Integers = bits.reshape(reader.groups, -1).min(axis=1).astype(np.int64)
    return least
