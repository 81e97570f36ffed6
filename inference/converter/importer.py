"""From the file of a float model to layers: one path of dense operators from the input to the scores.

Scalers, additions, products with constants and chains of matrices melt into the weights. What follows the
scores (softmax, sigmoid, class, map of probabilities) is cut: it never changes which score is the greatest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf, prod
from typing import Final

import numpy as np

from inference.converter.arithmetic import Reals
from inference.converter.network import Affine, Layer, Network, unchanged
from inference.engines.interface import to_array
from inference.graph import Gate, Graph, Node, Port, read
from inference.refusal import refuse
from inference.tensor import Tensor

_HEAD: Final = frozenset({"ArgMax", "LogSoftmax", "Sigmoid", "Softmax", "ZipMap"})
"""Operators that end the path: their input is the scores."""

_TAIL: Final = _HEAD | {"ArrayFeatureExtractor", "Cast", "Concat", "Identity", "Normalizer", "Reshape", "Sub"}
"""Operators that may follow the scores."""

_MOVES: Final = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that leave a single row of numbers as it is."""

FLOAT: Final = Gate(
    operators={
        "": _HEAD
        | _TAIL
        | _MOVES
        | {"Add", "Clip", "Constant", "Div", "Gemm", "MatMul", "Mul", "Relu", "Sub"},
        "ai.onnx.ml": frozenset({"ArrayFeatureExtractor", "Normalizer", "Scaler", "ZipMap"}),
    },
    versions=range(9, 24),
    open_dimensions=True,
    other_types=True,
)
"""What the converter reads: what scikit-learn's and PyTorch's exporters write for dense networks."""


def understand(data: bytes) -> Network:
    """The layers of a float model. Raises Refused."""
    graph = read(data, FLOAT)
    if len(graph.inputs) != 1:
        refuse(f"the model has {len(graph.inputs)} inputs; the converter takes one")
    return _Path(graph).network()


@dataclass(slots=True)
class _Path:
    """The walk along the path, from the input to the scores."""

    graph: Graph
    constants: dict[str, Tensor] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    tail: list[Node] = field(default_factory=list)

    def network(self) -> Network:
        port = self.graph.inputs[0]
        port = Port(port.name, port.dtype, tuple(size or 1 for size in port.shape))
        if port.dtype not in ("float32", "float64"):
            refuse(f"the input is {port.dtype}, not float32 or float64", port.name)
        self.constants.update(self.graph.constants)
        affine, at = unchanged(prod(port.shape)), port.name
        for node in self.graph.nodes:
            if node.operator == "Constant":
                self._constant(node)
            elif self.tail or (at in node.inputs and node.operator in _HEAD):
                self._follow(node)
            elif at not in node.inputs:
                refuse("branches are not supported: only a single path from input to scores", node.place)
            else:
                affine, at = self._step(node, node.inputs.index(at), affine), node.outputs[0]
        self.layers.append(affine.layer(at))
        if affine.matrix is None:
            refuse("there are no weights before the scores")
        classes = [node.outputs[0] for node in self.tail if node.operator == "ArgMax"]
        return Network(
            input_name=port.name,
            input_shape=port.shape,
            input_dtype=port.dtype,
            layers=tuple(self.layers),
            classes_name=classes[0] if classes else "",
            single_score=affine.width == 1 and any(node.operator == "Sigmoid" for node in self.tail),
        )

    def _constant(self, node: Node) -> None:
        value = node.attributes.get("value")
        if not isinstance(value, Tensor):
            refuse("only tensors are supported as constants", node.place)
        self.constants[node.outputs[0]] = value

    def _follow(self, node: Node) -> None:
        if node.operator not in _TAIL:
            refuse("this operator is not supported after the scores", node.place)
        self.tail.append(node)

    def _step(self, node: Node, index: int, affine: Affine) -> Affine:
        """What the path computes after one more node, which reads it as its input `index`."""
        if node.operator in _MOVES:
            return affine
        if node.operator in ("Relu", "Clip"):
            low, high = (0.0, inf) if node.operator == "Relu" else self._limits(node)
            self.layers.append(affine.layer(node.outputs[0], low, high))
            return unchanged(affine.width)
        if index and node.operator not in ("Add", "Mul"):
            refuse("the constant must be the second input", node.place)
        return _STEPS[node.operator](_Operands(self, node, index), affine)

    def _limits(self, node: Node) -> tuple[float, float]:
        """From inputs, as since version 11, or from attributes, as before."""
        limits = []
        for index, (name, default) in enumerate((("min", -inf), ("max", inf)), start=1):
            value = node.attributes.get(name, default)
            if index < len(node.inputs) and node.inputs[index]:
                value = float(self.reals(node, index).reshape(-1)[0])
            assert isinstance(value, float)
            limits.append(value)
        if not limits[0] < limits[1]:
            refuse("the lower limit is not below the upper", node.place)
        return limits[0], limits[1]

    def reals(self, node: Node, index: int) -> Reals:
        """A constant input, as float64."""
        tensor = self.constants.get(node.inputs[index]) if index < len(node.inputs) else None
        if tensor is None:
            refuse(f"input {index} must be a constant", node.place)
        return _finite(to_array(tensor).astype(np.float64), node)


@dataclass(frozen=True, slots=True)
class _Operands:
    """A node on the path, and where its constants are."""

    path: _Path
    node: Node
    index: int

    def vector(self, width: int) -> Reals:
        """The other operand of an elementwise operator, one number per channel."""
        return _per_channel(self.path.reals(self.node, 1 - self.index), width, self.node)

    def matrix(self, width: int, transposed: bool = False) -> Reals:
        """The weights."""
        weights = self.path.reals(self.node, 1)
        weights = weights.T if transposed else weights
        if weights.ndim != 2 or weights.shape[0] != width:
            refuse(f"weights {list(weights.shape)} meet {width} numbers", self.node.place)
        return weights

    def number(self, name: str, default: float) -> float:
        value = self.node.attributes.get(name, default)
        assert isinstance(value, int | float)
        return value

    def list(self, name: str, width: int) -> Reals:
        value = np.array(self.node.attributes.get(name, ()), dtype=np.float64)
        return _per_channel(_finite(value, self.node), width, self.node)


def _gemm(operands: _Operands, affine: Affine) -> Affine:
    if operands.number("transA", 0):
        refuse("transA is not supported", operands.node.place)
    weights = operands.matrix(affine.width, bool(operands.number("transB", 0)))
    result = affine.through(weights * operands.number("alpha", 1.0))
    if len(operands.node.inputs) < 3:
        return result
    bias = _per_channel(operands.path.reals(operands.node, 2), result.width, operands.node)
    return result.shifted(bias * operands.number("beta", 1.0))


def _scaler(operands: _Operands, affine: Affine) -> Affine:
    """(x - offset) * scale."""
    offset, scale = (operands.list(name, affine.width) for name in ("offset", "scale"))
    return affine.shifted(-offset).scaled(scale)


def _divide(operands: _Operands, affine: Affine) -> Affine:
    divisor = operands.vector(affine.width)
    if not divisor.all():
        refuse("division by zero", operands.node.place)
    return affine.scaled(1 / divisor)


_STEPS: Final[Mapping[str, Callable[[_Operands, Affine], Affine]]] = {
    "Add": lambda operands, affine: affine.shifted(operands.vector(affine.width)),
    "Div": _divide,
    "Gemm": _gemm,
    "MatMul": lambda operands, affine: affine.through(operands.matrix(affine.width)),
    "Mul": lambda operands, affine: affine.scaled(operands.vector(affine.width)),
    "Scaler": _scaler,
    "Sub": lambda operands, affine: affine.shifted(-operands.vector(affine.width)),
}


def _per_channel(values: Reals, width: int, node: Node) -> Reals:
    """One number for each of `width` channels, from as many or from a single one."""
    if values.size not in (1, width):
        refuse(f"{values.size} constants meet {width} numbers", node.place)
    return np.broadcast_to(values.reshape(-1), (width,)).copy()


def _finite(values: Reals, node: Node) -> Reals:
    if not np.isfinite(values).all():
        refuse("a constant is infinite or not a number", node.place)
    return values
