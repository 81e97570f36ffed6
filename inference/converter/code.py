"""How integers stand for reals while a model is lowered: grids that were planned, codes that were made."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.converter.program import Integers, Reals, Shape


@dataclass(frozen=True, slots=True)
class Grid:
    """The integers that are to stand for a tensor: real = integer * scale, for integers from low to high."""

    scale: Reals
    """Above zero; broadcasts against the tensor's shape, so [1, C, 1, 1] for one scale per image channel."""
    low: int
    high: int

    @property
    def uniform(self) -> bool:
        return self.scale.size == 1

    @property
    def magnitude(self) -> int:
        return max(-self.low, self.high)

    @property
    def bits(self) -> int:
        return self.magnitude.bit_length() + (self.low < 0)


@dataclass(frozen=True, slots=True)
class Code:
    """A tensor of the exact graph that stands for one of the float model: real = value * scale + offset.

    Every value is a multiple of 2^step from low to high. All arrays broadcast against the shape. The scale
    is never in the graph: whoever reads the code folds it into weights, or relies on its being the grid's.
    """

    name: str
    shape: Shape
    scale: Reals
    offset: Reals
    step: Integers
    low: Reals
    high: Reals
    dtype: str = "float32"
    loose: bool = False
    """Whether it was rounded to a float, so that nothing but a Clip and a Round may take it."""

    @property
    def whole(self) -> bool:
        """Whether every value is an integer."""
        return bool((self.step >= 0).all())


def channel_array(values: NDArray[Any], rank: int, axis: int) -> NDArray[Any]:
    """One number per index of `axis`, shaped to broadcast against a tensor of that rank."""
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def one(value: float) -> Reals:
    """A number that broadcasts against every shape."""
    return np.array(value, dtype=np.float64)


def no_step() -> Integers:
    """The step of whole numbers."""
    return np.array(0, dtype=np.int64)
