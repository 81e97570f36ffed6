"""The folded graph while it is being read: nodes, constants and shapes at hand, and ways to respell it."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod

import numpy as np

from inference.converter.extension import Extension
from inference.converter.fold import FoldedGraph, TensorType
from inference.converter.program import Reals, Shape
from inference.engines.interface import Array
from inference.graph import AttributeValue, Node
from inference.refusal import refuse
from inference.tensor import Tensor


class Draft:
    """Nodes in an order in which they can run, which passes may replace by others that mean the same."""

    def __init__(self, folded: FoldedGraph) -> None:
        self.folded = folded
        self.nodes = in_order(folded.graph.nodes)
        self.version = folded.graph.version
        self.constants: dict[str, Array] = {
            name: _array(tensor) for name, tensor in folded.graph.constants.items()
        }
        self._types = dict(folded.types)
        names = {name for node in self.nodes for name in (*node.inputs, *node.outputs)}
        self.extension = Extension(names | set(self.constants) | set(self._types))
        self._producers: dict[str, Node] = {}
        self._readers: dict[str, list[Node]] = {}
        self.index()

    def index(self) -> None:
        """To be called after `nodes` changed."""
        self._producers = {name: node for node in self.nodes for name in node.outputs}
        self._readers = {}
        for node in self.nodes:
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)

    def producer(self, name: str) -> Node | None:
        return self._producers.get(name)

    def made_by(self, name: str, *operators: str) -> Node | None:
        """The node that computes a tensor, if it is one of those operators."""
        node = self._producers.get(name)
        return node if node is not None and node.operator in operators else None

    def readers(self, name: str) -> Sequence[Node]:
        """The nodes that read a tensor, once for each time they do."""
        return self._readers.get(name, ())

    def only_reader(self, name: str) -> Node | None:
        """The node that alone reads a tensor, which is no output of the model."""
        readers = self.readers(name)
        outputs = (port.name for port in self.folded.graph.outputs)
        return readers[0] if len(readers) == 1 and name not in outputs else None

    def shape(self, name: str) -> Shape:
        if name in self.constants:
            return self.constants[name].shape
        return self._types[name].shape if name in self._types else ()

    def dtype(self, name: str) -> str:
        """Empty for what is no tensor of numbers."""
        if name in self.constants:
            return self.constants[name].dtype.name
        return self._types[name].dtype if name in self._types else ""

    def computed(self, node: Node) -> list[str]:
        """The inputs of a node that are no constants."""
        return [name for name in node.inputs if name and name not in self.constants]

    def scalar(self, name: str) -> float | None:
        """The value of a constant with one element."""
        value = self.constants.get(name)
        return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None

    def reals(self, node: Node, index: int, what: str) -> Reals:
        """A constant input of finite numbers. Raises Refused."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        if name not in self.constants:
            refuse(f"{what} must be constant", node.place)
        value = self.constants[name].astype(np.float64)
        if not np.isfinite(value).all():
            refuse(f"{what} are infinite or not a number", node.place)
        return value

    def integers(self, node: Node, index: int, attribute: str) -> tuple[int, ...] | None:
        """A list of whole numbers: a constant input or, in older operator sets, an attribute; None if absent.

        Raises Refused if it is computed.
        """
        if index < len(node.inputs) and node.inputs[index]:
            if node.inputs[index] not in self.constants:
                refuse(f"{attribute} must be constant; give every open dimension a size", node.place)
            return tuple(int(value) for value in self.constants[node.inputs[index]].reshape(-1))
        value = node.attributes.get(attribute)
        if value is None:
            return None
        listed = value if isinstance(value, tuple) else (value,)
        return tuple(int(each) for each in listed if isinstance(each, int))

    def declare(self, name: str, shape: Shape, dtype: str = "float32") -> None:
        """Type and shape of a tensor that a pass brought in."""
        self._types[name] = TensorType(name=name, dtype=dtype, shape=shape)

    def extend(
        self,
        operator: str,
        inputs: Sequence[str],
        shape: Shape,
        attributes: Mapping[str, AttributeValue] | None = None,
        domain: str = "",
    ) -> Node:
        """A node that also the folded file gets; its result has a new name. It is not yet in `nodes`."""
        computed = [name for name in inputs if name in self._types]
        output = self.extension.fresh(computed[0] if computed else operator.lower())
        dtype = self.dtype(computed[0]) if computed else "float32"
        self.declare(output, shape, dtype if dtype in ("float32", "float64") else "float32")
        return self.extension.node(operator, inputs, output, attributes, domain)

    def constant(self, base: str, value: Array) -> str:
        """The name of a new constant, which also the folded file gets."""
        name = self.extension.constant(base, value)
        self.constants[name] = value
        return name

    def replace(self, old: Node, new: Iterable[Node]) -> None:
        """Put nodes in the place of one."""
        at = next(index for index, node in enumerate(self.nodes) if node is old)
        self.nodes[at : at + 1] = list(new)
        self.index()


def in_order(nodes: Sequence[Node]) -> list[Node]:
    """The nodes such that each comes after those whose results it reads, else as they were: onnxruntime takes
    them, and writes them, in any order.
    """
    producers = {name: node for node in nodes for name in node.outputs}
    ordered: dict[int, Node] = {}
    for last in nodes:
        waiting = [last]
        while waiting:
            node = waiting[-1]
            before = [producers[name] for name in node.inputs if name in producers]
            missing = [each for each in before if id(each) not in ordered]
            if id(node) in ordered or not missing:
                ordered.setdefault(id(waiting.pop()), node)
            else:
                waiting += missing[::-1]
    return list(ordered.values())


def number(node: Node, name: str, default: float) -> float:
    """An attribute that is a number."""
    value = node.attributes.get(name, default)
    return float(value) if isinstance(value, int | float) else default


def whole(node: Node, name: str, default: int) -> int:
    """An attribute that is a whole number."""
    value = node.attributes.get(name, default)
    return value if isinstance(value, int) else default


def text(node: Node, name: str, default: str = "") -> str:
    """An attribute that is a text."""
    value = node.attributes.get(name)
    return value.decode("ascii", "replace") if isinstance(value, bytes) else default


def _array(tensor: Tensor) -> Array:
    """Also of a tensor without elements."""
    dtype = np.dtype(tensor.dtype).newbyteorder("<")
    count = prod(tensor.shape)
    return np.frombuffer(tensor.data, dtype=dtype, count=count).reshape(tensor.shape).astype(tensor.dtype)
