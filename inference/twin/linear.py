"""Conv, Gemm and MatMul with constant weights, as integers times a power of two for each output channel."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.engines.interface import Array, to_array
from inference.graph import Graph, Node

WEIGHT_MAX: Final = 64
"""Greatest magnitude of an eight-bit weight. Without the instructions of VNNI, x86 engines multiply unsigned
by signed bytes and add pairs of products in 16 bits, with saturation: 2 * 255 * 64 = 32,640 is below
2^15, 2 * 255 * 65 is not.
"""

TERMS_MAX: Final = 1 << 16
"""Most terms of a sum: 2^16 * 255 * 64 < 2^31, so no sum of bytes and weights leaves 32 bits."""

SUM_MAX: Final = 1 << 24
"""Sums of that magnitude or more are not all exact when an engine turns them into float32."""


@dataclass(frozen=True, slots=True)
class Linear:
    """One node. `weights` has the output channel first, float64; `bias` likewise, zeros without one."""

    node: Node
    source: str
    weights: Array
    bias: Array
    has_bias: bool

    @property
    def terms(self) -> int:
        """Products in one output element."""
        return int(np.prod(self.weights.shape[1:], dtype=np.int64))

    def reach(self, low: float, high: float) -> tuple[float, float]:
        """Bounds of every output, and of every sum of some of its terms, for inputs from low to high."""
        least, most = self.reaches(low, high)
        return float(least.min()), float(most.max())

    def reaches(self, low: float, high: float) -> tuple[Array, Array]:
        """The same for each output channel."""
        rows = self.weights.reshape(len(self.weights), -1)
        positive, negative = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
        low, high = min(low, 0), max(high, 0)
        least = positive * low + negative * high + np.minimum(self.bias, 0)
        most = positive * high + negative * low + np.maximum(self.bias, 0)
        return least, most


@dataclass(frozen=True, slots=True)
class Whole:
    """A linear node's numbers in steps of its output channels."""

    weights: Array
    """int8, output channel first."""
    bias: Array
    """int32."""
    steps: Array
    """float32 powers of two."""


def linear_of(graph: Graph, node: Node) -> Linear | None:
    """The node as a linear function, if it is one."""
    if node.operator not in ("Conv", "Gemm", "MatMul") or node.inputs[1] not in graph.constants:
        return None
    tensor = graph.constants[node.inputs[1]]
    if tensor.dtype != "float32" or (node.operator != "Conv" and len(tensor.shape) != 2):
        return None
    weights = to_array(tensor).astype(np.float64)
    if node.operator != "Conv" and not (node.operator == "Gemm" and node.attributes.get("transB")):
        weights = weights.T
    has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
    bias = np.zeros(len(weights))
    if has_bias:
        bias = to_array(graph.constants[node.inputs[2]]).astype(np.float64)
    return Linear(node, node.inputs[0], weights, bias, has_bias)


def whole(linear: Linear) -> Whole | None:
    """The integers, if the weights fit into seven bits and the sums into 24."""
    channels = len(linear.weights)
    rows = np.concatenate([linear.weights.reshape(channels, -1), linear.bias[:, None]], axis=1)
    steps = 2.0 ** _lowest_bits(rows).min(axis=1)
    steps[~np.isfinite(steps)] = 1.0
    integers = rows / steps[:, None]
    weights, bias = integers[:, :-1], integers[:, -1]
    if linear.terms > TERMS_MAX or np.abs(weights).max() > WEIGHT_MAX or np.abs(bias).max() >= SUM_MAX:
        return None
    return Whole(
        weights.reshape(linear.weights.shape).astype(np.int8),
        bias.astype(np.int32),
        steps.astype(np.float32),
    )


def _lowest_bits(numbers: Array) -> Array:
    """The exponent of each number's lowest bit that is set; infinity for zero."""
    mantissas, exponents = np.frexp(numbers)
    integers = (mantissas * 2.0**53).astype(np.int64)
    lowest = np.frexp((integers & -integers).astype(np.float64))[1] - 1
    return np.where(numbers == 0, np.inf, exponents - 53.0 + lowest)
