"""What the back end knows of one kind of step: what grids it likes, and how it becomes exact nodes.

To add a kind: write a module `lower_*.py` with a `Rule`, and name it in `registry.RULES` (for a `Map`, under
its form). A rule's `lower(lowering, step)` does this:

- it reads each input by `lowering.integers(name)`: whole numbers on the input's planned grid (Clip and Round
  are added once, for the first who asks). A reader that can fold any scale and offset of its input into its
  weights takes `lowering.whole(name)`; one that can also take unrounded sums takes `lowering.raw(name)`;
- it takes `grid = lowering.grid(step.name)`, the scale and range planned for its result;
- it adds nodes, `name = lowering.add("Mul", x.name, lowering.constant(array))`, attributes by keyword;
  a constant is float32 unless its array is of integers, and must be exact in it;
- it returns `lowering.made(name, step, scale=..., step=..., low=..., high=...)`: a Code that says what it
  made, before any Clip or Round to the grid, which `integers` adds when somebody reads the result. Values
  beyond the grid's range, or finer than its step, are fine; values in other units than the grid's scale
  cost a multiplication in readers that cannot fold them.

It never proves anything: the prover does. It raises Refused, with the node, the bits needed and what to
change, where the numbers do not fit 24 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from inference.converter.code import Code, Grid
from inference.converter.program import Reals, Shape, Step

if TYPE_CHECKING:
    from inference.converter.lowering import Lowering

BITS_MIN: Final = 6
BITS_MAX: Final = 12
"""Least and most bits of an activation: fewer lose accuracy, more leave other factors too few."""

LINEAR_BITS_MAX: Final = 16
"""The most where only weights and limits meet it: what is best depends on how many terms a sum has."""


@dataclass(frozen=True, slots=True)
class Want:
    """What a reader asks of an input's grid, or a step of its result's."""

    bits_max: int = BITS_MAX
    per_channel: bool = False
    """Whether a scale of its own for each channel will do."""
    follows: bool = False
    """Whether it will do if it does for the result as well."""
    unit: float = 0.0
    """If above zero, the scale must be this times a power of two."""
    scale: float = 0.0
    """If above zero, the scale must be this."""


def _whatever(step: Step, index: int) -> Want:
    return Want()


def _free(step: Step) -> Want:
    return Want(per_channel=True)


def _none(step: Step) -> Sequence[int]:
    return ()


def _underived(step: Step, grids: Mapping[str, Grid], shapes: Mapping[str, Shape]) -> Reals | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of step."""

    lower: Callable[[Lowering, Any], Code]
    wants: Callable[[Any, int], Want] = _whatever
    """Of the grid of the input with that index."""
    gives: Callable[[Any], Want] = _free
    """What the grid of the result must be."""
    ties: Callable[[Any], Sequence[int]] = _none
    """Indices of the inputs that should have the grid of the result."""
    derives: Callable[[Any, Mapping[str, Grid], Mapping[str, Shape]], Reals | None] = _underived
    """The scale that the result has by itself, from the grids of its inputs and the shapes of all tensors;
    its grid's scale is then this times a power of two. None if any scale can be had at no cost."""
