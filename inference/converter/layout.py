"""After lowering: movements that move nothing are left out, and what works by rows works on two dimensions.

Exporters give every tensor a batch of one, and wrap each product of matrices, norm and attention head in a
Reshape or a Transpose of dimensions of one. Engines run each of them as a node, and put more of their own
around a product with more than two dimensions. Here a tensor is kept in any shape with the same elements in
the same order, and gets the shape that the float model says only for a node that asks for it. Nothing is
computed otherwise: the bits stay, and the prover sees the result like any other graph.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Final

import numpy as np

from inference.engines.interface import from_array, to_array
from inference.graph import Graph, Node
from inference.tensor import Tensor

Shape = tuple[int, ...]

_ONE_BY_ONE: Final = frozenset(
    ("Cast", "Ceil", "Clip", "Erf", "Exp", "Floor", "HardSigmoid", "Relu", "Round", "Sigmoid", "Sqrt", "Tanh")
)
"""Of one tensor, element by element; their limits are numbers."""

_PAIRWISE: Final = frozenset(("Add", "Div", "Max", "Min", "Mul", "Sub"))


def laid_out(graph: Graph, shapes: Mapping[str, Shape]) -> Graph:
    """The graph with fewer movements, the same bits and the same ports. `shapes`: of all its tensors."""
    return _Layout(graph, shapes).laid_out()


@dataclass(slots=True)
class _Layout:
    """One graph, and the one that is being written."""

    graph: Graph
    shapes: Mapping[str, Shape]
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    """For a computed tensor, the one that has its elements."""
    sizes: dict[str, Shape] = field(default_factory=dict)
    """The shapes of those."""
    known: dict[tuple[str, Shape], str] = field(default_factory=dict)
    """Tensors and constants in other shapes."""
    factors: set[str] = field(default_factory=set)
    """Of products of two computed tensors: engines take a number that multiplies one into the product."""
    fresh: int = 0
    """Names given so far."""

    def laid_out(self) -> Graph:
        self.constants |= self.graph.constants
        self.factors = {
            name
            for node in self.graph.nodes
            if node.operator == "MatMul" and self.constants.keys().isdisjoint(node.inputs)
            for name in node.inputs
        }
        for port in self.graph.inputs:
            self._keep(port.name, port.name, port.shape)
        ends = {port.name for port in self.graph.outputs}
        for node in self.graph.nodes:
            if not ends.isdisjoint(node.outputs) or not self._free(node):
                self._as_written(node)
        used = {name for node in self.nodes for name in node.inputs}
        constants = {name: tensor for name, tensor in self.constants.items() if name in used}
        ordered = tuple(replace(node, position=at) for at, node in enumerate(self.nodes))
        return Graph(self.graph.inputs, self.graph.outputs, ordered, constants, self.graph.metadata)

    def _free(self, node: Node) -> bool:
        """Whether the node took its inputs in another shape than that of the float model, or went."""
        x = node.inputs[0]
        if node.operator in _PAIRWISE:
            return self._pairwise(node)
        if x not in self.kept:
            return False
        if node.operator == "Reshape" or (node.operator == "Transpose" and self._moves_nothing(node)):
            self.kept[node.outputs[0]] = self.kept[x]
        elif node.operator in _ONE_BY_ONE:
            self._write(node, (self.kept[x], *node.inputs[1:]), self._size(x))
        elif node.operator == "MatMul" and self._is_matrix(node.inputs[1]):
            rows = self._rows(x)
            columns = self.constants[node.inputs[1]].shape[1]
            self._write(node, (self._shaped(x, rows), node.inputs[1]), (rows[0], columns))
        elif node.operator in ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceSumSquare") and self._of_rows(
            node
        ):
            self._reduce(node)
        elif node.operator == "ReduceSum" and self._of_points(node):
            name = self._shaped(x, self.shapes[x])
            drawn = replace(node, attributes={**node.attributes, "keepdims": 0})
            self._write(drawn, (name, *node.inputs[1:]), self.shapes[x][:2])
        else:
            return False
        return True

    def _moves_nothing(self, node: Node) -> bool:
        """Whether a Transpose leaves the order of all dimensions but those of one."""
        shape, perm = self.shapes[node.inputs[0]], node.attributes["perm"]
        assert isinstance(perm, tuple)
        moved = [axis for axis in perm if isinstance(axis, int) and shape[axis] > 1]
        return moved == sorted(moved)

    def _is_matrix(self, name: str) -> bool:
        return name in self.constants and len(self.constants[name].shape) == 2

    def _of_rows(self, node: Node) -> bool:
        """Whether a reduction is along the last dimension alone, and keeps it."""
        return node.attributes.get("keepdims") == 1 and self._axes(node) == (
            len(self.shapes[node.inputs[0]]) - 1,
        )

    def _of_points(self, node: Node) -> bool:
        """Whether images of several dimensions become points."""
        rank = len(self.shapes[node.inputs[0]])
        return rank > 3 and node.attributes.get("keepdims") == 1 and self._axes(node) == tuple(range(2, rank))

    def _axes(self, node: Node) -> Shape:
        rank = len(self.shapes[node.inputs[0]])
        listed = node.attributes.get("axes")
        if listed is None:
            listed = tuple(int(axis) for axis in to_array(self.constants[node.inputs[1]]))
        assert isinstance(listed, tuple)
        return tuple(axis % rank for axis in listed if isinstance(axis, int))

    def _reduce(self, node: Node) -> None:
        x = node.inputs[0]
        name = self._by_rows(x)
        size = self.sizes[name]
        axis = len(size) - 1
        if node.operator == "ReduceSum":
            node = replace(node, inputs=(x, self._whole((axis,))))
        else:
            node = replace(node, attributes={**node.attributes, "axes": (axis,)})
        self._write(node, (name, *node.inputs[1:]), (*size[:-1], 1))

    def _pairwise(self, node: Node) -> bool:
        left, right = node.inputs
        if left in self.kept and right in self.kept:
            return self._both(node, left, right)
        x = left if left in self.kept else right
        if self.shapes[node.outputs[0]] != self.shapes[x] or node.outputs[0] in self.factors:
            return False
        constant = self.constants[right if x == left else left]
        last = self.shapes[x][-1:]
        name = self.kept[x]
        if prod(constant.shape) == 1:
            shape: Shape = ()
        elif prod(constant.shape) == prod(self.shapes[x]):
            shape = self.sizes[name]
        elif prod(constant.shape) == prod(constant.shape[-1:]) == prod(last):
            shape, name = last, self._by_rows(x)
        else:
            return False
        other = self._constant(right if x == left else left, shape)
        self._write(node, (name, other) if x == left else (other, name), self.sizes[name])
        return True

    def _both(self, node: Node, left: str, right: str) -> bool:
        """Two tensors of one shape, or one with a number for each row of the other."""
        shapes = [self.shapes[each] for each in (left, right)]
        if shapes[0] == shapes[1]:
            size = self._size(left) if self._size(left) == self._size(right) else self._rows(left)
            self._write(node, (self._shaped(left, size), self._shaped(right, size)), size)
            return True
        if len(shapes[0]) != len(shapes[1]) or shapes[0][:-1] != shapes[1][:-1]:
            return False
        names = tuple(self._by_rows(each) for each in (left, right))
        if self.sizes[names[0]][:-1] != self.sizes[names[1]][:-1]:
            names = tuple(self._shaped(each, self._rows(each)) for each in (left, right))
        first, second = (self.sizes[name] for name in names)
        self._write(node, names, (*first[:-1], max(first[-1], second[-1])))
        return True

    def _by_rows(self, x: str) -> str:
        """A tensor in some shape with the last dimension that the float model gives it."""
        return self.kept[x] if self._size(x)[-1:] == self.shapes[x][-1:] else self._shaped(x, self._rows(x))

    def _rows(self, x: str) -> Shape:
        *before, last = self.shapes[x]
        return prod(before), last

    def _size(self, x: str) -> Shape:
        return self.sizes[self.kept[x]]

    def _shaped(self, x: str, shape: Shape) -> str:
        """The tensor in a shape."""
        name = self.kept[x]
        if self.sizes[name] == shape:
            return name
        if (name, shape) not in self.known:
            other = self._fresh()
            self.nodes.append(Node(0, "Reshape", (name, self._whole(shape)), (other,), {}))
            self.sizes[other] = shape
            self.known[name, shape] = other
        return self.known[name, shape]

    def _constant(self, name: str, shape: Shape) -> str:
        tensor = self.constants[name]
        if tensor.shape == shape:
            return name
        if (name, shape) not in self.known:
            self.known[name, shape] = self._fresh()
            self.constants[self.known[name, shape]] = Tensor(tensor.dtype, shape, tensor.data)
        return self.known[name, shape]

    def _whole(self, values: Shape) -> str:
        """A constant list of whole numbers."""
        if ("", values) not in self.known:
            self.known["", values] = self._fresh()
            self.constants[self.known["", values]] = from_array(np.array(values, dtype=np.int64))
        return self.known["", values]

    def _fresh(self) -> str:
        """A name that neither graph has."""
        self.fresh += 1
        while (name := f"layout.{self.fresh}") in self.shapes or name in self.graph.constants:
            self.fresh += 1
        return name

    def _write(self, node: Node, inputs: tuple[str, ...], size: Shape) -> None:
        self.nodes.append(replace(node, inputs=inputs))
        self._keep(node.outputs[0], node.outputs[0], size)

    def _as_written(self, node: Node) -> None:
        """With inputs and outputs in the shapes that the float model gives them."""
        inputs = tuple(self._shaped(x, self.shapes[x]) if x in self.kept else x for x in node.inputs)
        self.nodes.append(replace(node, inputs=inputs))
        for name in node.outputs:
            self._keep(name, name, self.shapes[name])

    def _keep(self, x: str, name: str, size: Shape) -> None:
        self.kept[x] = name
        self.sizes[name] = size
