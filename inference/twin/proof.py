"""That a twin computes what its original does: each tensor of the twin gets a meaning in the original, or the
twin is refused.

Meanings. *Same*: the original's tensor of that name. *Code*: bytes, of which `zero` stands for 0, that hold
an original's tensor of integers. *Limited*: bytes that hold round(e), limited, where e is the exact result
of one node of the original; a code once its limits are those of the nodes after it. *Ramp*: the bytes of a
code, limited again. *Index*: the bytes of a code as integers of 32 or 64 bits. *Sums*: the integers of a
linear node before its steps or its bias.

Why each step preserves the function. Codes have scale 1, so bytes minus `zero` are the tensor's integers.
Weights are the original's divided by a power of two per output channel; magnitudes up to 64, and so few
terms that neither pairs of products in 16 bits nor sums in 32 overflow. A sum is below 2^24 in its step, so
it is exact in float32, and so is its product with the step; then QLinearConv, QGemm and QLinearMatMul round
half to even, as Round does, and saturate. A product of two codes, which may be limited to be a hard sigmoid's
integers, is exact too; QLinearMul adds `zero` before it rounds, which is the same if that is even. Maxima and
moves commute with adding `zero`. The rest is the
original's own nodes on the original's own tensors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NoReturn

import numpy as np

from inference.engines.interface import Array, to_array
from inference.graph import Graph, Node, read
from inference.operators.registry import EXACT
from inference.schema import ELEMENT_CODES
from inference.twin.chain import Users, chain_after, users
from inference.twin.factors import BITS_MAX, Factor, factor_of
from inference.twin.intervals import MOVES, Interval, Intervals, intervals
from inference.twin.linear import SUM_MAX, TERMS_MAX, WEIGHT_MAX, Linear, linear_of
from inference.twin.meanings import Code, Index, Limited, Meaning, Ramp, Side, Sums

CONTRIBUTED: Final = "com.microsoft"
"""The domain of QGemm, QLinearAdd and QLinearMul, which onnxruntime has in every build."""

_QUANTIZED: Final = frozenset(
    {
        "ConvInteger",
        "DequantizeLinear",
        "MatMulInteger",
        "QLinearConv",
        "QLinearMatMul",
        "QuantizeLinear",
    }
)

TWIN: Final = replace(
    EXACT,
    operators={
        **EXACT.operators,
        "": EXACT.operators[""] | _QUANTIZED,
        CONTRIBUTED: frozenset({"QGemm", "QLinearAdd", "QLinearMul"}),
    },
)
"""What a twin may consist of."""


class Unequal(Exception):
    """The twin was not shown to compute what its original does."""


def ensure_equal(model: bytes, twin: bytes) -> None:
    """Raises Unequal, and Refused if one of the files cannot be read. `model` must have been proved."""
    _Comparison(read(model, EXACT), read(twin, TWIN)).compare()


@dataclass(slots=True)
class _Comparison:
    """One comparison in progress."""

    original: Graph
    twin: Graph
    readers: Users = field(init=False)
    known: Intervals = field(init=False)
    origins: dict[str, Node] = field(init=False)
    """The original's nodes by each of their outputs."""
    products: dict[frozenset[str], list[tuple[Node, Factor, Factor]]] = field(init=False)
    """The original's products, by the tensors whose codes they can be computed from."""
    integers: set[str] = field(init=False)
    """The original's tensors of an integer type."""
    same: set[str] = field(init=False)
    meanings: dict[str, Meaning] = field(default_factory=dict)
    node: Node = field(init=False)
    """The twin's node that is looked at."""

    def __post_init__(self) -> None:
        self.readers, self.known = users(self.original), intervals(self.original)
        self.origins = {name: node for node in self.original.nodes for name in node.outputs}
        self.same = {port.name for port in self.original.inputs}
        self.integers = set(self.same)
        self.products = {}
        for node in self.original.nodes:
            if _to_integers(node) if node.operator == "Cast" else node.inputs[0] in self.integers:
                self.integers.update(node.outputs)
            if node.operator == "Mul":
                left, right = (factor_of(self.original, self.origins, name) for name in node.inputs)
                self.products.setdefault(frozenset({left.source, right.source}), []).append(
                    (node, left, right)
                )

    def compare(self) -> None:
        if (self.twin.inputs, self.twin.outputs) != (self.original.inputs, self.original.outputs):
            raise Unequal("inputs or outputs differ")
        rules: Mapping[str, Callable[[], None]] = {
            "QuantizeLinear": self._quantize,
            "DequantizeLinear": self._dequantize,
            "QLinearConv": lambda: self._requantize(8),
            "QLinearMatMul": lambda: self._requantize(None),
            "QGemm": lambda: self._requantize(6),
            "QLinearAdd": self._sum,
            "QLinearMul": self._product,
            "ConvInteger": self._sums,
            "MatMulInteger": self._sums,
        }
        for node in self.twin.nodes:
            self.node = node
            if not node.inputs:
                self._refuse("a node must have inputs")
            if any(name in self.same or name in self.meanings for name in self.node.outputs):
                self._refuse("a name is given twice")
            if self.node.operator in rules:
                rules[self.node.operator]()
            elif isinstance(index := self.meanings.get(self._input(1)), Index):
                self._looked_up(index.code)
            elif self.node.inputs[0] in self.meanings:
                self._on_meaning(self.meanings[self.node.inputs[0]])
            elif not self._plain():
                self._on_bytes()
        if missing := {port.name for port in self.original.outputs} - self.same:
            raise Unequal(f"the output {min(missing)} is not computed")

    def _refuse(self, reason: str) -> NoReturn:
        raise Unequal(f"{self.node.place}: {reason}")

    def _input(self, index: int) -> str:
        """The name of an input; empty for one that is left out."""
        return self.node.inputs[index] if index < len(self.node.inputs) else ""

    def _constant(self, index: int, dtype: str) -> Array:
        """A constant input of the twin's node."""
        tensor = self.twin.constants.get(self._input(index))
        if tensor is None or tensor.dtype != dtype:
            self._refuse(f"input {index} is no constant {dtype}")
        return to_array(tensor)

    def _ensure_one(self, index: int) -> None:
        """That a scale is 1."""
        scale = self._constant(index, "float32")
        if scale.shape != () or scale != 1:
            self._refuse("the scale of a code is not 1")

    def _zero(self, index: int) -> int:
        zero = self._constant(index, "uint8")
        if zero.shape != ():
            self._refuse("a zero point is no single byte")
        return int(zero)

    def _code(self, index: int, zero: int) -> str:
        """The tensor whose code an input is, with that zero."""
        name = self._input(index)
        meaning = self.meanings.get(name)
        if isinstance(meaning, Limited):
            meaning = self._any_code(index)
        if meaning is None and zero == 0 and (cast := self._cast_of(name)):
            return cast
        if not isinstance(meaning, Code) or meaning.zero != zero:
            self._refuse(f"input {index} is no code with the zero {zero}")
        return meaning.tensor

    def _cast_of(self, name: str) -> str | None:
        """The original's float tensor of the bytes `name`, which are its code."""
        if name not in self.same or self._dtype(name) != "uint8":
            return None
        casts = [each for each in self.readers.get(name, ()) if each.operator == "Cast"]
        floats = [each for each in casts if each.attributes["to"] == ELEMENT_CODES["float32"]]
        return floats[0].outputs[0] if floats else None

    def _dtype(self, name: str) -> str | None:
        """The type of an integer input of the original, also after limits and moves."""
        while (origin := self.origins.get(name)) is not None:
            if origin.operator not in MOVES | {"Clip"}:
                return None
            name = origin.inputs[0]
        return next((port.dtype for port in self.original.inputs if port.name == name), None)

    def _settled(self, limited: Limited) -> Code | None:
        """The code that limited bytes are, if their limits are those of the nodes that follow."""
        chain = chain_after(self.original, self.readers, limited.node.outputs[0], limited.reach.whole)
        if chain is None:
            self._refuse("the original does not round here")
        least, most = round(limited.reach.low), round(limited.reach.high)
        for end in (least, most):
            if min(max(end, chain.low), chain.high) != min(max(end, limited.low), limited.high):
                return None
        return Code(chain.result, limited.zero)

    def _plain(self) -> bool:
        """A node of the original, on the original's tensors: the twin's are the original's."""
        node, origin = self.node, self.origins.get(self.node.outputs[0])
        if origin is None or (node.operator, node.domain) != (origin.operator, origin.domain):
            return False
        if (node.inputs, node.outputs) != (
            origin.inputs,
            origin.outputs,
        ) or node.attributes != origin.attributes:
            return False
        for name in filter(None, node.inputs):
            if name not in self.same and not self._constants(name):
                self._refuse(f"{name} is not the original's")
        self.same.update(node.outputs)
        return True

    def _constants(self, name: str) -> bool:
        """Whether both graphs have the same constant of that name."""
        mine = self.twin.constants.get(name)
        return mine is not None and mine == self.original.constants.get(name)

    def _quantize(self) -> None:
        self._ensure_one(1)
        name, zero = self.node.inputs[0], self._zero(2)
        interval = self.known.get(name)
        if name not in self.same or interval is None or not interval.whole:
            self._refuse(f"{name} is no tensor of integers of the original")
        if interval.low < -zero or interval.high > 255 - zero:
            self._refuse(f"{name} does not fit into bytes")
        self.meanings[self.node.outputs[0]] = Code(name, zero)

    def _dequantize(self) -> None:
        self._ensure_one(1)
        self._becomes(self._code(0, self._zero(2)))

    def _becomes(self, tensor: str) -> None:
        """The node's output is the original's `tensor`, of floats, and must bear its name."""
        if self.node.outputs != (tensor,) or tensor in self.integers:
            self._refuse(f"this is {tensor}")
        self.same.add(tensor)

    def _requantize(self, bias: int | None) -> None:
        """QLinearConv, QLinearMatMul, QGemm: three inputs of each operand, then the output's scale and
        zero."""
        last = 7 if self.node.operator == "QGemm" else 6
        for index in (1, last):
            self._ensure_one(index)
        linear = self._linear(self._code(0, self._zero(2)))
        weights, zeros = self._weights(3), self._constant(5, "int8")
        steps = self._steps(4, len(weights))
        if zeros.shape != steps.shape or zeros.any():
            self._refuse("the zero points of weights must be 0, one for each channel")
        offsets = np.zeros(len(weights), np.int32)
        if bias is not None and self._input(bias):
            offsets = self._constant(bias, "int32")
        match = self._match(linear, weights, steps, offsets * steps.astype(np.float64))
        source = self.known[match.source]
        reach = Interval(*match.reach(source.low, source.high), whole=False)
        zero = self._zero(last + 1)
        self.meanings[self.node.outputs[0]] = Limited(match.node, reach, zero, -zero, 255 - zero)

    def _sum(self) -> None:
        """QLinearAdd of two codes."""
        for index in (1, 4, 6):
            self._ensure_one(index)
        tensors = {self._code(0, self._zero(2)), self._code(3, self._zero(5))}
        for origin in self.readers.get(min(tensors), ()):
            if origin.operator == "Add" and set(origin.inputs) == tensors:
                zero, reach = self._zero(7), self.known[origin.outputs[0]]
                self.meanings[self.node.outputs[0]] = Limited(origin, reach, zero, -zero, 255 - zero)
                return
        self._refuse("the original does not add these")

    def _product(self) -> None:
        """QLinearMul of two codes, or parts of them."""
        self._ensure_one(6)
        first, second, zero = self._side(0), self._side(3), self._zero(7)
        bits = first.bits + second.bits
        if bits > BITS_MAX or (bits and zero % 2):
            self._refuse("halves are not rounded as in the original")
        tensors = frozenset({first.ramp.code.tensor, second.ramp.code.tensor})
        for origin, left, right in self.products.get(tensors, ()):
            reach = self.known.get(origin.outputs[0])
            if reach and self._stands_for(first, left) and self._stands_for(second, right):
                self.meanings[self.node.outputs[0]] = Limited(origin, reach, zero, -zero, 255 - zero)
                return
        self._refuse("the original does not multiply these")

    def _side(self, index: int) -> Side:
        """One operand of a product: bytes, scale, zero."""
        meaning, scale = self.meanings.get(self._input(index)), self._steps(index + 1)
        if not isinstance(meaning, Ramp):
            meaning = Ramp(self._any_code(index) if meaning else Code(self._code(index, 0), 0))
        return Side(meaning, 1 - int(np.frexp(scale[0])[1]), self._zero(index + 2))

    def _stands_for(self, side: Side, factor: Factor) -> bool:
        """Whether an operand is a factor of the original, for every integer that there can be."""
        code = side.ramp.code
        if (code.tensor, side.bits) != (factor.source, factor.bits):
            return False
        ends, integers = (side.ramp.low, side.ramp.high), self.known[code.tensor]
        return all(
            factor.integer(value) == min(max(value + code.zero, ends[0]), ends[1]) - side.zero
            for value in range(int(integers.low), int(integers.high) + 1)
        )

    def _sums(self) -> None:
        """ConvInteger, MatMulInteger: the integers that a linear node's steps and bias are applied to."""
        if len(self.node.inputs) != 3:
            self._refuse("takes three inputs")
        linear = self._linear(self._code(0, self._zero(2)))
        self.meanings[self.node.outputs[0]] = Sums(tuple(linear), self._weights(1))

    def _on_meaning(self, meaning: Meaning) -> None:
        """An operator of the original on bytes or sums of the twin."""
        if isinstance(meaning, Limited | Code) and self.node.operator == "Clip":
            self.meanings[self.node.outputs[0]] = self._clipped(meaning)
        elif isinstance(meaning, Sums):
            self._scaled(meaning)
        elif self.node.operator == "Cast" and _to_integers(self.node):
            self.meanings[self.node.outputs[0]] = Index(self._any_code(0))
        elif self.node.operator == "Concat":
            self._move([self._any_code(index) for index in range(len(self.node.inputs))])
        elif self.node.operator in MOVES:
            self._move([self._any_code(0)])
        else:
            self._refuse("this operator is not for codes")

    def _clipped(self, meaning: Limited | Code) -> Limited | Ramp:
        """Limited further, or a part of the code that it is already."""
        low, high = self._zero(1), self._zero(2)
        if low > high:
            self._refuse("the limits are the wrong way round")
        code = self._settled(meaning) if isinstance(meaning, Limited) else meaning
        if code is not None:
            return Ramp(code, low, high)
        assert isinstance(meaning, Limited)
        low, high = low - meaning.zero, high - meaning.zero
        ends = (min(max(end, low), high) for end in (meaning.low, meaning.high))
        return replace(meaning, low=next(ends), high=next(ends))

    def _on_bytes(self) -> None:
        """A move of the original's own bytes, which are the code of their Cast."""
        if self.node.operator not in MOVES:
            self._refuse("this is not the original's node")
        self._move([Code(self._code(0, 0), 0)])

    def _any_code(self, index: int) -> Code:
        meaning = self.meanings.get(self._input(index))
        code = self._settled(meaning) if isinstance(meaning, Limited) else meaning
        if not isinstance(code, Code):
            self._refuse(f"input {index} is no code, or the limits differ")
        return code

    def _move(self, codes: Sequence[Code]) -> None:
        """The original's operator that moves elements, on codes with one zero."""
        tensors = tuple(code.tensor for code in codes)
        rest = self.node.inputs[len(codes) :]
        if len({code.zero for code in codes}) > 1 or not all(map(self._constants, filter(None, rest))):
            self._refuse("zeros or constants differ")
        for origin in self._alike(tensors[0]):
            known = zip(origin.inputs, tensors, strict=False)
            if (
                all(name in self._names(tensor) for name, tensor in known)
                and origin.inputs[len(codes) :] == rest
                and len(origin.inputs) == len(self.node.inputs)
                and len(origin.outputs) == len(self.node.outputs)
            ):
                results = (Code(name, codes[0].zero) for name in origin.outputs)
                self.meanings.update(zip(self.node.outputs, results, strict=True))
                return
        self._refuse("the original has no such node")

    def _names(self, tensor: str) -> tuple[str, ...]:
        """The original's tensors with the same integers: itself, and what it is cast to."""
        casts = (each for each in self.readers.get(tensor, ()) if each.operator == "Cast")
        return (tensor, *(each.outputs[0] for each in casts if _to_integers(each)))

    def _alike(self, tensor: str) -> list[Node]:
        """The original's nodes with the operator and attributes of the twin's that read a tensor or its
        Cast."""
        readers = [each for name in self._names(tensor) for each in self.readers.get(name, ())]
        node = self.node
        return [
            each for each in readers if (each.operator, each.attributes) == (node.operator, node.attributes)
        ]

    def _looked_up(self, code: Code) -> None:
        """Entries of a table in the order of the bytes: each is the original's, plus one zero for all."""
        table, integers = self._constant(0, "uint8"), self.known[code.tensor]
        values = np.arange(int(integers.low), int(integers.high) + 1)
        for origin in self._alike(code.tensor):
            tensor = self.original.constants.get(origin.inputs[0])
            if tensor is None or tensor.dtype != "float32":
                continue
            entries = to_array(tensor)
            if entries.ndim != 1 or table.ndim != 1 or values[-1] + code.zero >= table.size:
                continue
            if values[0] < -entries.size or values[-1] >= entries.size:
                continue
            zeros = table[values + code.zero] - entries[values].astype(np.float64)
            if zeros[0] in range(256) and (zeros == zeros[0]).all():
                self.meanings[self.node.outputs[0]] = Code(origin.outputs[0], int(zeros[0]))
                return
        self._refuse("the original has no such table")

    def _scaled(self, sums: Sums) -> None:
        """Cast, then Mul by the steps, then Add of the bias: a float tensor of the original."""
        if self.node.operator == "Cast" and self.node.attributes.get("to") == ELEMENT_CODES["float32"]:
            self.meanings[self.node.outputs[0]] = replace(sums, real=True)
            return
        shape = (len(sums.weights), *(1,) * (sums.weights.ndim - 2))
        if not sums.real or self._constant(1, "float32").shape != shape:
            self._refuse("this does not scale sums by channel")
        bias = np.zeros(len(sums.weights))
        if self.node.operator == "Mul" and sums.steps is None:
            sums = replace(sums, steps=self._steps(1, *shape))
        elif self.node.operator == "Add" and sums.steps is not None:
            bias = self._constant(1, "float32").astype(np.float64).reshape(-1)
        else:
            self._refuse("this operator is not for sums")
        assert sums.steps is not None
        if self.node.outputs[0] not in self.origins:
            self.meanings[self.node.outputs[0]] = sums
            return
        match = self._match(sums.linear, sums.weights, sums.steps, bias)
        self._becomes(match.node.outputs[0])

    def _linear(self, tensor: str) -> list[Linear]:
        """The original's linear nodes that read a tensor as the twin's node does."""
        conv = self.node.operator in ("QLinearConv", "ConvInteger")
        if not conv and self.node.attributes:
            self._refuse("attributes are not allowed")
        kinds = ("Conv",) if conv else ("Gemm",) if self.node.operator == "QGemm" else ("Gemm", "MatMul")
        found = []
        for origin in self.readers.get(tensor, ()):
            alike = origin.operator in kinds and (not conv or origin.attributes == self.node.attributes)
            linear = linear_of(self.original, origin) if alike else None
            if linear is not None and linear.source == tensor:
                found.append(linear)
        return found

    def _weights(self, index: int) -> Array:
        """Constant weights, output channel first."""
        weights = self._constant(index, "int8")
        return weights if self.node.operator in ("QLinearConv", "ConvInteger") else weights.T

    def _steps(self, index: int, *shape: int) -> Array:
        """Constant powers of two, one for each output channel."""
        steps = self._constant(index, "float32")
        if steps.shape != shape or (np.frexp(steps)[0] != 0.5).any():
            self._refuse("the steps are not one power of two for each channel")
        return steps.reshape(-1)

    def _match(self, candidates: Sequence[Linear], weights: Array, steps: Array, bias: Array) -> Linear:
        """The original's linear node with these numbers, whose sums no engine can lose."""
        scale = steps.astype(np.float64).reshape(-1, *(1,) * (weights.ndim - 1))
        found = [each for each in candidates if _same_numbers(each, weights, scale, bias)]
        if not found:
            self._refuse("the original has no such weights")
        linear = found[0]
        if linear.terms > TERMS_MAX or np.abs(weights.astype(np.int16)).max() > WEIGHT_MAX:
            self._refuse("the weights are too large or too many")
        source = self.known[linear.source]
        least, most = linear.reaches(source.low, source.high)
        if (np.maximum(-least, most) / steps >= SUM_MAX).any():
            self._refuse("a sum does not fit into 24 bits")
        return linear


def _to_integers(cast: Node) -> bool:
    """Whether a Cast is to a type of integers that hold every byte."""
    return cast.attributes["to"] in (ELEMENT_CODES["int32"], ELEMENT_CODES["int64"])


def _same_numbers(linear: Linear, weights: Array, scale: Array, bias: Array) -> bool:
    """Whether a linear node has these weights times their scale, and this bias."""
    if weights.shape != linear.weights.shape or bias.shape != linear.bias.shape:
        return False
    return bool((weights * scale == linear.weights).all() and (bias == linear.bias).all())
