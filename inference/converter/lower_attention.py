"""What attention is made of: products of two computed tensors, and softmax."""

from collections.abc import Mapping
from math import ceil, log2
from typing import Final

import numpy as np

from inference.converter import spellings
from inference.converter.code import Code, Grid, one
from inference.converter.lowering import SUM_MAX, Lowering
from inference.converter.program import Product, Reals, Shape, Softmax
from inference.converter.rule import Rule, Want

SHARE_BITS: Final = 10
"""Bits of a softmax's results: shares are multiples of 2^-10."""

_NOTHING: Final = 20.0
"""How far below the greatest an exponential counts for nothing: e^-20 is 2^-29."""

_SOFTMAX_BITS: Final = 12


def _product(lowering: Lowering, step: Product) -> Code:
    left, right = (_limited(lowering, name) for name in step.inputs)
    terms = left.shape[-1]
    greatest = terms * _magnitude(left) * _magnitude(right)
    if greatest > SUM_MAX:
        bits = int(greatest).bit_length()
        lowering.refuse(step.name, f"{terms} products need {bits} bits, there are 24", "use fewer terms")
    scale = left.scale * right.scale * step.scale
    octaves = int(np.rint(np.log2(scale / lowering.grid(step.name).scale)))
    first = left.name
    if octaves:
        first = lowering.add("Mul", first, lowering.constant(one(2.0**octaves)))
    reach = float(np.ldexp(greatest, octaves))
    return lowering.made(
        lowering.add("MatMul", first, right.name),
        step,
        scale=np.ldexp(scale, -octaves),
        fraction=min(octaves, 0),
        low=-reach,
        high=reach,
    )


def _limited(lowering: Lowering, name: str) -> Code:
    """Half of the bits are for each factor, so that neither may be wider than its grid."""
    grid = lowering.grid(name)
    return lowering.limited(lowering.integers(name), grid.low, grid.high)


def _magnitude(code: Code) -> int:
    return int(np.maximum(-code.low, code.high).max())


def _product_wants(step: Product, index: int) -> Want:
    """Half of what the number of terms leaves of 24 bits."""
    return Want(bits_max=(24 - ceil(log2(step.terms))) // 2)


def _product_derives(step: Product, grids: Mapping[str, Grid], shapes: Mapping[str, Shape]) -> Reals | None:
    left, right = (grids[name].scale for name in step.inputs)
    return left * right * step.scale


def _softmax(lowering: Lowering, step: Softmax) -> Code:
    x, scale = lowering.integers(step.inputs[0]), float(lowering.grid(step.inputs[0]).scale.reshape(-1)[0])
    name, span = x.name, int(x.high.max() - x.low.min())
    down = ceil(_NOTHING / scale) + span
    if step.mask is not None:
        whole = np.rint(np.clip(step.mask / scale, -down, down))
        name, span = lowering.add("Add", name, lowering.constant(whole)), span + int(np.ptp(whole))
    if len(step.inputs) > 1:
        counts = lowering.integers(step.inputs[1])
        raised = lowering.add("Mul", counts.name, lowering.constant(one(float(down))))
        name, span = lowering.add("Add", name, raised), span + down
    if span > SUM_MAX // 4:
        lowering.refuse(step.name, "its scores differ by more than 24 bits hold", "mask with less")
    top = 1 << SHARE_BITS
    name = spellings.softmax(
        lowering, name, span=span, scale=scale, axis=step.axis, shape=step.shape, top=top
    )
    return lowering.made(name, step, low=0.0, high=float(top))


PRODUCT: Final = Rule(
    lower=_product,
    wants=_product_wants,
    gives=lambda step: Want(),
    derives=_product_derives,
)
SOFTMAX: Final = Rule(
    lower=_softmax,
    wants=lambda step, index: Want(scale=1.0) if index else Want(bits_max=_SOFTMAX_BITS),
    gives=lambda step: Want(scale=2.0**-SHARE_BITS, bits_max=SHARE_BITS + 1),
)
