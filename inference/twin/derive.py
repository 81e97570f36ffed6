"""From a proved model to its int8 twin. A pure function; what it writes is proved by `inference.twin.proof`.

A float tensor of integers that span at most 256 values has a *code*: bytes, of which `zero` stands for 0. A
linear node with a coded input and weights of seven bits becomes its integer form: with the limits and the
Round that follow, one QLinearConv, QGemm or QLinearMatMul from code to code; else MatMulInteger or
ConvInteger, and one Mul that gives back the float tensor. Moves of elements, sums, and products, also with a
hard sigmoid, stay with the code, and tables are looked up from code to code. All else is as it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from inference.canonical import write
from inference.engines.interface import Array, from_array, to_array
from inference.graph import AttributeValue, Graph, Node, read
from inference.operators.registry import EXACT
from inference.schema import ELEMENT_CODES
from inference.tensor import Tensor
from inference.twin.chain import Chain, Users, chain_after, users
from inference.twin.factors import BITS_MAX, Factor, factor_of
from inference.twin.intervals import LOOKUPS, MOVES, Intervals, intervals, zero_point
from inference.twin.linear import Linear, linear_of, whole
from inference.twin.proof import CONTRIBUTED
from inference.wire import bytes_field, number_field

ACCUMULATED_TERMS_MIN: Final = 128
"""Fewer terms do not repay turning integer sums back into floats."""


def twin(model: bytes) -> bytes | None:
    """The twin of a canonical, proved model; None if nothing in it can be computed with bytes."""
    deriver = _Deriver(read(model, EXACT))
    return deriver.file() if deriver.derive() else None


@dataclass(frozen=True, slots=True)
class Code:
    """A float tensor as bytes."""

    name: str
    zero: int


@dataclass(slots=True)
class _Deriver:
    graph: Graph
    readers: Users = field(init=False)
    known: Intervals = field(init=False)
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    makers: dict[str, Node] = field(init=False)
    floats: set[str] = field(default_factory=set)
    """Tensors of the original that the twin has so far."""
    done: set[int] = field(default_factory=set)
    """Positions of nodes whose effect is in the twin already."""
    unsigned: set[str] = field(default_factory=set)
    """Tensors that are bytes in the original."""
    indices: set[str] = field(default_factory=set)
    """Tensors of the original that are no floats, but whose codes are known."""
    mark: str = "."
    """No name of the original has it, so every name that has it is free."""

    def __post_init__(self) -> None:
        self.readers, self.known = users(self.graph), intervals(self.graph)
        self.makers = {name: node for node in self.graph.nodes for name in node.outputs}
        self.floats |= {port.name for port in self.graph.inputs} | set(self.graph.constants)
        names = self.floats | {name for node in self.graph.nodes for name in node.outputs}
        self.unsigned |= {port.name for port in self.graph.inputs if port.dtype == "uint8"}
        while any(self.mark in name for name in names):
            self.mark += "."

    def derive(self) -> bool:
        """Whether anything became integer."""
        gained = False
        for node in self.graph.nodes:
            if node.position in self.done:
                continue
            linear = linear_of(self.graph, node)
            if linear is not None and self._linear(linear):
                gained = True
            elif not self._on_codes(node):
                self._plain(node)
        for port in self.graph.outputs:
            self._real(port.name)
        return gained

    def file(self) -> bytes:
        graph, nodes = self.graph, self._used()
        numbered = tuple(replace(node, position=position) for position, node in enumerate(nodes))
        constants = dict(graph.constants) | self.constants
        file = write(Graph(graph.inputs, graph.outputs, numbered, constants, {}))
        return file + bytes_field(8, bytes_field(1, CONTRIBUTED.encode()) + number_field(2, 1))

    def _used(self) -> list[Node]:
        """The nodes without those whose results nobody reads, since the code was read instead."""
        wanted, kept = {port.name for port in self.graph.outputs}, []
        for node in reversed(self.nodes):
            if not wanted.isdisjoint(node.outputs):
                wanted.update(node.inputs)
                kept.append(node)
        return kept[::-1]

    def _plain(self, node: Node) -> None:
        """The node as it was."""
        for name in node.inputs:
            if name:
                self._real(name)
        self.nodes.append(node)
        self.floats.update(node.outputs)
        if node.operator in MOVES | {"Clip"} and node.inputs[0] in self.unsigned:
            self.unsigned.update(node.outputs)

    def _real(self, name: str) -> None:
        """See to it that the twin has the original's tensor."""
        if name not in self.floats:
            code = self.codes[name]
            self._add("DequantizeLinear", (code.name, self._one(), self._byte(code.zero)), name)
            self.floats.add(name)

    def _code(self, name: str) -> Code | None:
        """The code of a tensor, if it has one."""
        zero = zero_point(self.known.get(name))
        if name not in self.codes and zero is not None and name in self.floats:
            inputs = (name, self._one(), self._byte(zero))
            self.codes[name] = Code(self._add("QuantizeLinear", inputs, self._name(name, "u8")), zero)
        return self.codes.get(name)

    def _zero_after(self, chain: Chain) -> int | None:
        """What stands for zero after limits: the lower of them, if that is a byte's end, though no number may
        come so low; for a converter that chose it had a reason."""
        interval = self.known.get(chain.result)
        if interval and interval.whole and -255 <= chain.low <= 0 and interval.high - chain.low <= 255:
            return int(-chain.low)
        return zero_point(interval)

    def _linear(self, linear: Linear) -> bool:
        """Write the integer form of a linear node, if it has one."""
        if zero_point(self.known.get(linear.source)) is None:
            return False
        return self._requantised(linear) or self._accumulated(linear)

    def _requantised(self, linear: Linear) -> bool:
        """From code to code, with the limits and the Round that follow."""
        numbers = whole(linear)
        chain = chain_after(self.graph, self.readers, linear.node.outputs[0], whole=False)
        zero = self._zero_after(chain) if chain else None
        if numbers is None or chain is None or zero is None:
            return False
        source = self._code(linear.source)
        assert source is not None
        node, end = linear.node, self._name(chain.result, "u8")
        scales, zeros = (
            self._constant(node, "steps", numbers.steps),
            self._constant(node, "zeros", np.zeros(len(numbers.steps), np.int8)),
        )
        one, middle = self._one(), self._byte(zero)
        x = (source.name, one, self._byte(source.zero))
        bias = (self._constant(node, "bias", numbers.bias),) if linear.has_bias else ()
        saturated = end if self._saturates(linear, chain, zero) else self._name(chain.result, "wide")
        if node.operator == "Conv":
            w = (self._constant(node, "weights", numbers.weights), scales, zeros)
            self._add("QLinearConv", (*x, *w, one, middle, *bias), saturated, node.attributes)
        elif node.operator == "Gemm":
            w = (self._constant(node, "weights", numbers.weights.T), scales, zeros)
            self._add("QGemm", (*x, *w, *(bias or ("",)), one, middle), saturated, domain=CONTRIBUTED)
        else:
            w = (self._constant(node, "weights", numbers.weights.T), scales, zeros)
            self._add("QLinearMatMul", (*x, *w, one, middle), saturated)
        self._limited(saturated, end, chain, zero)
        self.done.update(each.position for each in (node, *chain.nodes))
        return True

    def _saturates(self, linear: Linear, chain: Chain, zero: int) -> bool:
        """Whether the limits of a byte limit the sums to what the chain limits them to."""
        source = self.known[linear.source]
        least, most = (round(end) for end in linear.reach(source.low, source.high))
        low = chain.low == -zero or max(chain.low, -zero) <= least
        return low and (chain.high == 255 - zero or min(chain.high, 255 - zero) >= most)

    def _limited(self, saturated: str, end: str, chain: Chain, zero: int) -> None:
        """Limit a code to what the chain leaves, unless it is so already; the result's code is `end`."""
        if saturated != end:
            interval = self.known[chain.result]
            low, high = (self._byte(int(limit) + zero) for limit in (interval.low, interval.high))
            self._add("Clip", (saturated, low, high), end)
        self.codes[chain.result] = Code(end, zero)

    def _accumulated(self, linear: Linear) -> bool:
        """The same float tensor, by way of sums of 32 bits."""
        numbers = whole(replace(linear, bias=np.zeros_like(linear.bias)))
        if numbers is None or linear.terms < ACCUMULATED_TERMS_MIN:
            return False
        source = self._code(linear.source)
        assert source is not None
        node, result, tail = linear.node, linear.node.outputs[0], (1,) * (linear.weights.ndim - 2)
        sums, real = self._name(result, "sums"), self._name(result, "real")
        weights = numbers.weights if node.operator == "Conv" else numbers.weights.T
        inputs = (source.name, self._constant(node, "weights", weights), self._byte(source.zero))
        if node.operator == "Conv":
            self._add("ConvInteger", inputs, sums, node.attributes)
        else:
            self._add("MatMulInteger", inputs, sums)
        self._add("Cast", (sums,), real, {"to": ELEMENT_CODES["float32"]})
        scaled = self._name(result, "scaled") if linear.has_bias else result
        shape = (len(numbers.steps), *tail)
        self._add("Mul", (real, self._constant(node, "steps", numbers.steps.reshape(shape))), scaled)
        if linear.has_bias:
            bias = linear.bias.astype(np.float32).reshape(shape)
            self._add("Add", (scaled, self._constant(node, "offset", bias)), result)
        self.floats.add(result)
        return True

    def _on_codes(self, node: Node) -> bool:
        """Write a node that moves or adds elements with codes instead, if its inputs have them."""
        sources = [self.codes[name] for name in node.inputs if name in self.codes]
        whole = not self.indices.isdisjoint(node.inputs)
        if node.operator == "Cast" and node.inputs[0] in self.unsigned and _is_float(node):
            self.codes[node.outputs[0]] = Code(node.inputs[0], 0)
        elif node.operator == "Cast" and sources:
            self._plain(node)
            if not _is_float(node):
                self.codes[node.outputs[0]] = sources[0]
                self.indices.add(node.outputs[0])
        elif node.operator == "Add" and len(sources) == 2 and not whole:
            return self._sum(node, sources)
        elif node.operator == "Mul" and not whole:
            return self._product(node)
        elif node.operator in LOOKUPS and node.inputs[1] in self.indices:
            return self._looked_up(node)
        elif _moves(self.graph, node, sources):
            inputs = tuple(self.codes[name].name if name in self.codes else name for name in node.inputs)
            ends = tuple(self._name(name, "u8") for name in node.outputs)
            self.nodes.append(Node(len(self.nodes), node.operator, inputs, ends, node.attributes))
            codes = [Code(end, sources[0].zero) for end in ends]
            if whole:
                self._plain(node)
                self.indices.update(node.outputs)
            self.codes.update(zip(node.outputs, codes, strict=True))
        else:
            return False
        return True

    def _looked_up(self, node: Node) -> bool:
        """Entries of a table of one dimension, as bytes, in the order of the bytes that choose them."""
        tensor, interval = self.graph.constants.get(node.inputs[0]), self.known.get(node.inputs[1])
        zero = zero_point(self.known.get(node.outputs[0]))
        if tensor is None or interval is None or zero is None or len(tensor.shape) != 1:
            return False
        low, high = int(interval.low), int(interval.high)
        if tensor.dtype != "float32" or low < -tensor.shape[0] or high >= tensor.shape[0]:
            return False
        code, values = self.codes[node.inputs[1]], np.arange(low, high + 1)
        table = np.zeros(high + code.zero + 1, np.uint8)
        table[values + code.zero] = to_array(tensor)[values] + zero
        index = self._name(node.outputs[0], "index")
        self._add("Cast", (code.name,), index, {"to": ELEMENT_CODES["int32"]})
        inputs = (self._constant(node, "table", table), index)
        end = self._add(node.operator, inputs, self._name(node.outputs[0], "u8"), node.attributes)
        self.codes[node.outputs[0]] = Code(end, zero)
        return True

    def _sum(self, node: Node, sources: Sequence[Code]) -> bool:
        """A sum of two codes, with the limits that follow, if its result has a code."""
        chain = chain_after(self.graph, self.readers, node.outputs[0], self.known[node.outputs[0]].whole)
        zero = self._zero_after(chain) if chain else None
        if chain is None or zero is None:
            return False
        inputs = [name for code in sources for name in (code.name, self._one(), self._byte(code.zero))]
        self._combined("QLinearAdd", inputs, node, chain, zero)
        return True

    def _product(self, node: Node) -> bool:
        """The same for a product. Its result's zero must be even: QLinearMul adds it before it rounds, and
        halves go to the even neighbour."""
        total = self.known.get(node.outputs[0])
        chain = chain_after(self.graph, self.readers, node.outputs[0], total.whole) if total else None
        zero = self._zero_after(chain) if chain else None
        factors = [factor_of(self.graph, self.makers, name) for name in node.inputs]
        bits = sum(each.bits for each in factors)
        if chain is None or zero is None or bits > BITS_MAX or (bits and zero % 2):
            return False
        coded = any(each.source in self.codes for each in factors)
        if not coded or not all(self._can_multiply(each) for each in factors):
            return False
        self._combined(
            "QLinearMul", [name for each in factors for name in self._factor(each)], node, chain, zero
        )
        return True

    def _can_multiply(self, factor: Factor) -> bool:
        """Whether the integers of a factor can be had as bytes."""
        code = self.codes.get(factor.source)
        zero = code.zero if code else zero_point(self.known.get(factor.source))
        return zero is not None and (factor.offset is None or 0 <= zero - factor.offset <= 255)

    def _factor(self, factor: Factor) -> tuple[str, str, str]:
        """Bytes, their scale and their zero. A hard sigmoid's are those of its source, limited."""
        code = self._code(factor.source)
        assert code is not None
        name, zero = code.name, code.zero - (factor.offset or 0)
        if factor.offset is not None:
            name = self._name(code.name, f"ramp{zero}")
            top = self._byte(min(zero + 2**factor.bits, 255))
            self._add("Clip", (code.name, self._byte(zero), top), name)
        scale = self._name(str(factor.bits), "bits")
        self.constants[scale] = from_array(np.array(2.0**-factor.bits, np.float32))
        return name, scale, self._byte(zero)

    def _combined(self, operator: str, inputs: Sequence[str], node: Node, chain: Chain, zero: int) -> None:
        """Two codes in one, with the limits that follow."""
        total, end = self.known[node.outputs[0]], self._name(chain.result, "u8")
        low = chain.low == -zero or max(chain.low, -zero) <= total.low
        high = chain.high == 255 - zero or min(chain.high, 255 - zero) >= total.high
        saturated = end if low and high else self._name(chain.result, "wide")
        self._add(operator, (*inputs, self._one(), self._byte(zero)), saturated, domain=CONTRIBUTED)
        self._limited(saturated, end, chain, zero)
        self.done.update(each.position for each in (node, *chain.nodes))

    def _add(
        self,
        operator: str,
        inputs: tuple[str, ...],
        output: str,
        attributes: Mapping[str, AttributeValue] | None = None,
        domain: str = "",
    ) -> str:
        """Append a node; its output's name."""
        self.nodes.append(Node(len(self.nodes), operator, inputs, (output,), attributes or {}, domain))
        return output

    def _constant(self, node: Node, part: str, values: Array) -> str:
        """A constant of one node."""
        name = self._name(node.outputs[0], part)
        self.constants[name] = from_array(np.ascontiguousarray(values))
        return name

    def _one(self) -> str:
        """The scale of every code: codes are integers."""
        name = self._name("", "one")
        self.constants[name] = from_array(np.array(1, np.float32))
        return name

    def _byte(self, value: int) -> str:
        name = self._name(str(value), "byte")
        self.constants[name] = from_array(np.array(value, np.uint8))
        return name

    def _name(self, name: str, part: str) -> str:
        return f"{name}{self.mark}{part}"


def _is_float(node: Node) -> bool:
    return node.attributes["to"] == ELEMENT_CODES["float32"]


def _moves(graph: Graph, node: Node, sources: Sequence[Code]) -> bool:
    """Whether a node only moves elements of inputs that are coded, all with the same zero, in a fixed way."""
    if node.operator == "Concat":
        return len(sources) == len(node.inputs) and len({code.zero for code in sources}) == 1
    how = filter(None, node.inputs[1:])
    return node.operator in MOVES and len(sources) == 1 and all(name in graph.constants for name in how)
