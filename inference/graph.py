"""An ONNX file as plain records, read from its bytes without any library.

Reading bounds sizes and counts and refuses what no model here may contain (external data, subgraphs,
functions, sparse and text tensors, unknown fields); a `Gate` says which operators and shapes the caller
takes.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Final

from inference import schema
from inference.refusal import refuse
from inference.schema import AttributeType
from inference.tensor import ELEMENTS_MAX, ITEM_BYTES, RANK_MAX, Tensor
from inference.wire import ITEMS_MAX, Message, Reader

MODEL_BYTES_MAX: Final = 64 * 1024 * 1024
NODES_MAX: Final = 5_000
CONSTANTS_MAX: Final = 10_000
PORTS_MAX: Final = 64
"""Most inputs, and most outputs, of one graph or node; a float model's nodes may have more inputs."""
ATTRIBUTES_MAX: Final = 32
NAME_BYTES_MAX: Final = 256
METADATA_KEY_BYTES_MAX: Final = 512
METADATA_VALUE_BYTES_MAX: Final = 64 * 1024
"""Longest list of scales: more than a certificate holds."""
LEARNERS: Final = "ai.onnx.ml"
"""The domain of the operators of classical machine learning."""
METADATA_PREFIX: Final = "exact."
"""Metadata under other keys says nothing about the function, and is not read."""

AttributeValue = int | float | bytes | Tensor | tuple[int, ...] | tuple[float, ...] | tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the graph."""

    name: str
    dtype: str
    """Empty if it is no tensor of numbers, which only a float model's may be."""
    shape: tuple[int, ...]
    """A dimension that the file leaves open is 0."""


@dataclass(frozen=True, slots=True)
class Node:
    """One application of an operator."""

    position: int
    operator: str
    inputs: tuple[str, ...]
    """Names of tensors; an empty name is an optional input left out."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeValue]
    domain: str = ""

    @property
    def place(self) -> str:
        """How a refusal names this node."""
        return f"node {self.position} ({self.operator} -> {self.outputs[0]})"


@dataclass(frozen=True, slots=True)
class Graph:
    """A model."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    version: int = 0
    """Of the standard operator set, as the file that it was read from says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a caller takes of the models that can be read."""

    operators: Mapping[str, frozenset[str]]
    """For each operator domain, the operators allowed; a domain that is not here is refused."""
    versions: range
    """Versions of the standard operator set whose meaning of those operators is the same."""
    learner_versions: range = range(1, 6)
    """Versions of the operator set ai.onnx.ml."""
    open_dimensions: bool
    """Whether a dimension may be left open; it is then read as 0."""
    other_types: bool
    """Whether an input or output may be something else than a tensor of numbers, and a constant Boolean
    (read as uint8) or without elements."""
    items_max: int = ITEMS_MAX
    """Most fields and packed integers of the file."""
    operands_max: int = PORTS_MAX
    """Most inputs of one node."""
    hints: Mapping[str, str] = field(default_factory=dict)
    """What to do about operators that are not allowed."""


def read(data: bytes, gate: Gate) -> Graph:
    """The graph in the file `data`. Raises Refused."""
    ensure_size(data)
    return _GraphReader(gate).graph(data)


def ensure_size(data: bytes) -> None:
    """Raises Refused for a file that is too large to look at."""
    if len(data) > MODEL_BYTES_MAX:
        refuse(f"the file has {len(data)} bytes, more than {MODEL_BYTES_MAX}")


class _GraphReader:
    """Reads one file."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._reader = Reader(gate.items_max)

    def graph(self, data: bytes) -> Graph:
        model = self._reader.message(memoryview(data), "ModelProto", schema.MODEL)
        version = self._version(model)
        if not model.has("graph"):
            refuse("the file holds no graph")
        graph = self._reader.message(model.part("graph"), "GraphProto", schema.GRAPH)
        nodes = _at_most(NODES_MAX, graph, "node")
        constants = self._constants(_at_most(CONSTANTS_MAX, graph, "initializer"))
        return Graph(
            inputs=tuple(self._port(part) for part in _at_most(PORTS_MAX, graph, "input")),
            outputs=tuple(self._port(part) for part in _at_most(PORTS_MAX, graph, "output")),
            nodes=tuple(self._node(position, part) for position, part in enumerate(nodes)),
            constants=constants,
            metadata=self._metadata(model),
            version=version,
        )

    def _version(self, model: Message) -> int:
        """Of the standard operator set. Raises Refused for a version or a domain that is not allowed."""
        seen: dict[str, int] = {}
        for part in _at_most(PORTS_MAX, model, "opset_import"):
            entry = self._reader.message(part, "OperatorSetIdProto", schema.OPERATOR_SET)
            domain = _domain(entry.part("domain"))
            if domain not in self._gate.operators:
                refuse(f"operators of the domain {domain!r} are not allowed")
            allowed = {"": self._gate.versions, LEARNERS: self._gate.learner_versions}.get(domain)
            if allowed and entry.number("version") not in allowed:
                refuse(
                    f"{domain or 'ai.onnx'}, operator set {entry.number('version')} is not among "
                    f"{allowed[0]} to {allowed[-1]}"
                )
            seen[domain] = entry.number("version")
        if "" not in seen and not self._gate.other_types:
            refuse("the file names no version of the standard operator set")
        return seen.get("", 0)

    def _metadata(self, model: Message) -> dict[str, str]:
        metadata: dict[str, str] = {}
        for part in model.parts("metadata_props"):
            entry = self._reader.message(part, "StringStringEntryProto", schema.ENTRY)
            if not bytes(entry.part("key")).startswith(METADATA_PREFIX.encode()):
                continue
            key = _text(entry.part("key"), METADATA_KEY_BYTES_MAX)
            if key in metadata:
                refuse(f"metadata has {key!r} twice")
            metadata[key] = _text(entry.part("value"), METADATA_VALUE_BYTES_MAX)
        return metadata

    def _constants(self, parts: list[memoryview]) -> dict[str, Tensor]:
        constants: dict[str, Tensor] = {}
        for part in parts:
            message = self._reader.message(part, "TensorProto", schema.TENSOR)
            name = _name(message.part("name"))
            if not name or name in constants:
                refuse(f"the constant {name!r} has no name of its own")
            constants[name] = self._tensor(message, name)
        return constants

    def _tensor(self, message: Message, name: str) -> Tensor:
        if message.number("data_location"):
            refuse("external data is not allowed: weights must be in the file", name)
        dtype = schema.ELEMENT_TYPES.get(message.number("data_type"))
        if self._gate.other_types and message.number("data_type") == schema.BOOLEAN:
            dtype = "uint8"
        if dtype is None:
            code = message.number("data_type")
            refuse(schema.REFUSED_TYPES.get(code, f"element type {code} is not allowed"), name)
        shape = _shape(self._reader.packed_varints(message, "dims"), name, int(not self._gate.other_types))
        data = self._tensor_bytes(message, dtype, name)
        if len(data) != prod(shape) * ITEM_BYTES[dtype]:
            refuse(f"{dtype}{list(shape)} does not take {len(data)} bytes", name)
        return Tensor(dtype=dtype, shape=shape, data=data)

    def _tensor_bytes(self, message: Message, dtype: str, name: str) -> bytes:
        """The elements, little-endian, from the one field that holds them."""
        field = {"float32": "float_data", "float64": "double_data", "int64": "int64_data"}.get(
            dtype, "int32_data"
        )
        holders = [
            each for each in ("float_data", "double_data", "int64_data", "int32_data") if message.has(each)
        ]
        if message.has("raw_data"):
            if holders:
                refuse("a tensor holds its elements twice", name)
            return bytes(message.part("raw_data"))
        if holders not in ([], [field]):
            refuse(f"{dtype} elements are not in {field}", name)
        if dtype.startswith("float"):
            return b"".join(message.parts(field))
        size, values = ITEM_BYTES[dtype], self._reader.packed_varints(message, field)
        try:
            return b"".join(value.to_bytes(size, "little", signed=dtype != "uint8") for value in values)
        except OverflowError:
            refuse(f"an element is outside {dtype}", name)

    def _port(self, part: memoryview) -> Port:
        other_types = self._gate.other_types
        info = self._reader.message(part, "ValueInfoProto", schema.VALUE_INFO)
        name = _name(info.part("name"))
        kind = self._reader.message(info.part("type"), "TypeProto", schema.TYPE)
        if not kind.has("tensor_type"):
            if not other_types:
                refuse("inputs and outputs must be tensors", name)
            return Port(name, "", ())
        tensor = self._reader.message(kind.part("tensor_type"), "Tensor", schema.TENSOR_TYPE)
        dtype = schema.ELEMENT_TYPES.get(tensor.number("elem_type"))
        if dtype is None and not other_types:
            refuse(f"element type {tensor.number('elem_type')} is not allowed", name)
        if not tensor.has("shape") and not other_types:
            refuse("the shape is not given", name)
        shape = self._reader.message(tensor.part("shape"), "TensorShapeProto", schema.SHAPE)
        sizes = [self._dimension(dimension, name) for dimension in shape.parts("dim")]
        return Port(name, dtype or "", _shape(sizes, name, int(not self._gate.open_dimensions)))

    def _dimension(self, part: memoryview, name: str) -> int:
        dimension = self._reader.message(part, "Dimension", schema.DIMENSION)
        if dimension.has("dim_value") and not dimension.has("dim_param"):
            size = dimension.number("dim_value")
            return max(size, 0) if self._gate.open_dimensions else size
        if not self._gate.open_dimensions:
            refuse("every dimension must be a number, the batch included", name)
        return 0

    def _node(self, position: int, part: memoryview) -> Node:
        message = self._reader.message(part, "NodeProto", schema.NODE)
        operator = _text(message.part("op_type"), NAME_BYTES_MAX)
        place = f"node {position} ({operator[:40]})"
        domain = _domain(message.part("domain"))
        if domain not in self._gate.operators:
            refuse(f"operators of the domain {domain[:80]!r} are not allowed", place)
        if operator not in self._gate.operators[domain]:
            if operator in self._gate.hints:
                first = _name((message.parts("output") or [memoryview(b"")])[0])
                refuse(self._gate.hints[operator], f"node {position} ({operator} -> {first})")
            refuse(f"the operator {operator[:40]} is not allowed", place)
        if message.part("overload"):
            refuse("functions are not allowed", place)
        outputs = tuple(_name(name) for name in _at_most(PORTS_MAX, message, "output"))
        if not outputs or not all(outputs):
            refuse("a node must name its outputs", place)
        return Node(
            position=position,
            operator=operator,
            inputs=tuple(_name(name) for name in _at_most(self._gate.operands_max, message, "input")),
            outputs=outputs,
            attributes=self._attributes(_at_most(ATTRIBUTES_MAX, message, "attribute"), place),
            domain=domain,
        )

    def _attributes(self, parts: list[memoryview], place: str) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {}
        for part in parts:
            message = self._reader.message(part, "AttributeProto", schema.ATTRIBUTE)
            name = _text(message.part("name"), NAME_BYTES_MAX)
            if name in attributes:
                refuse(f"the attribute {name!r} is given twice", place)
            attributes[name] = self._attribute(message, name, place)
        return attributes

    def _attribute(self, message: Message, name: str, place: str) -> AttributeValue:
        value: AttributeValue
        match message.number("type"):
            case AttributeType.FLOAT:
                value = _floats(message, "f", place)[0]
            case AttributeType.INT:
                value = message.number("i")
            case AttributeType.STRING:
                value = bytes(message.part("s"))
            case AttributeType.TENSOR:
                tensor = self._reader.message(message.part("t"), "TensorProto", schema.TENSOR)
                value = self._tensor(tensor, place)
            case AttributeType.FLOATS:
                value = _floats(message, "floats", place)
            case AttributeType.INTS:
                value = tuple(self._reader.packed_varints(message, "ints"))
            case AttributeType.STRINGS:
                value = tuple(bytes(part) for part in message.parts("strings"))
            case _:
                refuse(f"the attribute {name[:40]!r} has a type that is not allowed", place)
        return value


def _at_most(limit: int, message: Message, name: str) -> list[memoryview]:
    parts = message.parts(name)
    if len(parts) > limit:
        refuse(f"{len(parts)} x {name}, more than {limit}")
    return parts


def _shape(sizes: list[int], name: str, least: int) -> tuple[int, ...]:
    if len(sizes) > RANK_MAX:
        refuse(f"{len(sizes)} dimensions, more than {RANK_MAX}", name)
    if any(size < least for size in sizes):
        refuse(f"a dimension is below {least}", name)
    if any(size > ELEMENTS_MAX for size in sizes) or prod(sizes) > ELEMENTS_MAX:
        refuse(f"more than {ELEMENTS_MAX} elements", name)
    return tuple(sizes)


def _domain(part: memoryview) -> str:
    name = _text(part, NAME_BYTES_MAX)
    return "" if name == "ai.onnx" else name


def _name(part: memoryview) -> str:
    return _text(part, NAME_BYTES_MAX)


def _text(part: memoryview, limit: int) -> str:
    """ASCII only: what else is printable depends on the version of Unicode, and verdicts may not."""
    if len(part) > limit:
        refuse(f"a name or text of {len(part)} bytes is longer than {limit}")
    try:
        text = str(part, "ascii")
    except UnicodeDecodeError:
        refuse("a name or text has characters beyond ASCII")
    if not text.isprintable():
        refuse("a name or text has unprintable characters")
    return text


def _floats(message: Message, name: str, place: str) -> tuple[float, ...]:
    """The float32 values of a field that must be there."""
    data = b"".join(message.parts(name))
    if not data or len(data) % 4:
        refuse(f"the attribute field {name} is empty or cut short", place)
    return tuple(float(value) for (value,) in struct.iter_unpack("<f", data))
