"""What the converter makes of a float model: layers of weights and limits, then scores."""

from dataclasses import dataclass
from math import inf

import numpy as np

from inference.converter.arithmetic import Reals, product


@dataclass(frozen=True, slots=True)
class Layer:
    """x[in] to limited(x * weights + bias)[out]."""

    name: str
    """The tensor of the float model that holds the layer's result."""
    weights: Reals
    bias: Reals
    low: float
    """Lower limit of the result: 0 for Relu, -inf for none."""
    high: float

    def apply(self, x: Reals) -> Reals:
        """For rows of inputs."""
        return np.minimum(np.maximum(product(x, self.weights) + self.bias, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Network:
    """A float model, understood."""

    input_name: str
    input_shape: tuple[int, ...]
    input_dtype: str
    layers: tuple[Layer, ...]
    """The last one has no limits: its results are the scores."""
    classes_name: str
    """The tensor of the float model that holds the class; empty if the float model only gives scores."""
    single_score: bool
    """Whether one score, through a sigmoid, decides between two classes."""


@dataclass(frozen=True, slots=True)
class Affine:
    """x to x * matrix + offset; without a matrix, to x * scale + offset, element by element."""

    scale: Reals
    offset: Reals
    matrix: Reals | None = None

    @property
    def width(self) -> int:
        return int(self.offset.shape[0])

    def shifted(self, by: Reals) -> "Affine":
        return Affine(self.scale, self.offset + by, self.matrix)

    def scaled(self, by: Reals) -> "Affine":
        matrix = None if self.matrix is None else self.matrix * by
        return Affine(self.scale * by, self.offset * by, matrix)

    def through(self, weights: Reals) -> "Affine":
        """Followed by a matrix product."""
        matrix = self.scale[:, None] * weights if self.matrix is None else product(self.matrix, weights)
        offset = product(self.offset[None, :], weights)[0]
        return Affine(np.ones(weights.shape[1]), offset, matrix)

    def layer(self, name: str, low: float = -inf, high: float = inf) -> Layer:
        """As a layer with limits."""
        matrix = np.diag(self.scale) if self.matrix is None else self.matrix
        return Layer(name, matrix, self.offset, low, high)


def unchanged(width: int) -> Affine:
    """x to x."""
    return Affine(np.ones(width), np.zeros(width))
