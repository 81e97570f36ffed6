"""What is known before: embeddings, constants, and curves with one entry for each integer of their input."""

from typing import Final

import numpy as np

from inference.converter import spellings
from inference.converter.code import Code
from inference.converter.lowering import Lowering
from inference.converter.program import Constant, Map, Reals, Table
from inference.converter.rule import Rule, Want

CURVE_BITS: Final = 11
"""Bits of the integers that a curve is given for: 2,048 entries, half of them for each sign."""


def _table(lowering: Lowering, step: Table) -> Code:
    """The rows that whole numbers choose, in the units of the result."""
    (name,) = step.inputs
    grid, chosen = lowering.grid(step.name), lowering.integers(name)
    rows = np.clip(np.rint(step.rows / grid.scale.reshape(-1)), grid.low, grid.high)
    limits = (np.array(each, dtype=chosen.dtype) for each in (0, len(rows) - 1))
    at = lowering.add("Clip", chosen.name, *(lowering.constant(each) for each in limits))
    at = at if chosen.dtype == "int32" else lowering.cast(at, "int32")
    return lowering.made(
        lowering.add("Gather", lowering.constant(rows), at, axis=0),
        step,
        low=rows.min(),
        high=rows.max(),
    )


def _constant(lowering: Lowering, step: Constant) -> Code:
    """In the units of its readers' grid."""
    grid = lowering.grid(step.name)
    whole = np.clip(np.rint(step.values / grid.scale), grid.low, grid.high)
    return lowering.made(lowering.constant(whole), step, low=whole.min(), high=whole.max())


def curve(lowering: Lowering, step: Map) -> Code:
    """One entry for each integer of the input's grid, so that the curve itself is never computed."""
    x = lowering.integers(step.inputs[0])
    grid = lowering.grid(step.name)
    low, high = int(x.low.min()), int(x.high.max())
    assert step.scale.size == step.offset.size == 1, "a table for each channel"
    reals: Reals = np.arange(low, high + 1, dtype=np.float64) * float(x.scale.reshape(-1)[0])
    values = step.evaluate(reals * float(step.scale.reshape(-1)[0]) + float(step.offset.reshape(-1)[0]))
    if not np.isfinite(values).all():
        lowering.refuse(
            step.name,
            "the function is infinite or undefined within its input's range",
            "limit the input before",
        )
    entries = np.clip(np.rint(values / float(grid.scale)), grid.low, grid.high)
    name = spellings.table(lowering, x.name, low, entries, step.shape)
    return lowering.made(name, step, low=entries.min(), high=entries.max())


CURVE: Final = Rule(
    lower=curve,
    wants=lambda step, index: Want(bits_max=CURVE_BITS),
    gives=lambda step: Want(),
)
CONSTANT: Final = Rule(lower=_constant)
TABLE: Final = Rule(
    lower=_table, wants=lambda step, index: Want(scale=1.0), gives=lambda step: Want(per_channel=True)
)
