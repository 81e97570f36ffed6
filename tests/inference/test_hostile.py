"""Files made to hurt: each is refused with a reason, in Python, before any library reads it."""

from collections.abc import Callable

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from inference import schema
from inference.certificate import VERDICT_BYTES_MAX, encode_verdict
from inference.prover import prove, verdict
from inference.refusal import Refusal, Refused
from inference.wire import Reader
from tests.inference.build import two_layers
from tests.inference.drawing import drawn

X = helper.make_tensor_value_info("x", TensorProto.INT8, [1, 3])
Y = helper.make_tensor_value_info("y", TensorProto.INT8, [1, 3])


def model(*nodes: onnx.NodeProto, opset: int = 17) -> onnx.ModelProto:
    """int8 x[1,3] through the nodes to int8 y[1,3]."""
    graph = helper.make_graph(list(nodes), "g", [X], [Y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def identity() -> onnx.ModelProto:
    return model(helper.make_node("Identity", ["x"], ["y"]))


def external(location: str) -> onnx.ModelProto:
    """The weights are said to be in another file."""
    bad = identity()
    tensor = bad.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return bad


def external_without_a_place() -> onnx.ModelProto:
    bad = external("/etc/passwd")
    del bad.graph.initializer[0].external_data[:]
    return bad


def external_without_a_mark() -> onnx.ModelProto:
    bad = external("/etc/passwd")
    bad.graph.initializer[0].ClearField("data_location")
    return bad


def loop() -> onnx.ModelProto:
    """2^62 turns of a loop that does nothing."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
    )
    return model(helper.make_node("Loop", ["n", ""], ["y"], body=body))


def subgraph_on_an_admitted_operator() -> onnx.ModelProto:
    inner = helper.make_graph([], "inner", [], [])
    return model(helper.make_node("Identity", ["x"], ["y"], body=inner))


def chain() -> onnx.ModelProto:
    nodes = [helper.make_node("Identity", [f"t{at}"], [f"t{at + 1}"]) for at in range(20_000)]
    nodes[0].input[0], nodes[-1].output[0] = "x", "y"
    return model(*nodes)


def division_by_zero() -> onnx.ModelProto:
    return model(
        helper.make_node("Cast", ["x"], ["r"], to=1),
        helper.make_node("Sub", ["r", "r"], ["z"]),
        helper.make_node("Div", ["r", "z"], ["q"]),
        helper.make_node("Cast", ["q"], ["y"], to=3),
    )


def sparse() -> onnx.ModelProto:
    bad = identity()
    bad.graph.sparse_initializer.add().dims.append(4)
    return bad


def text() -> onnx.ModelProto:
    bad = identity()
    bad.graph.initializer.append(
        TensorProto(name="w", data_type=TensorProto.STRING, dims=[1], string_data=[b"words"])
    )
    return bad


def function() -> onnx.ModelProto:
    bad = identity()
    bad.functions.add(name="f", domain="mine")
    return bad


def foreign_domain() -> onnx.ModelProto:
    bad = model(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"))
    bad.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return bad


def undeclared_domain() -> onnx.ModelProto:
    return model(helper.make_node("Identity", ["x"], ["y"], domain="com.microsoft"))


def open_batch() -> onnx.ModelProto:
    bad = identity()
    bad.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    return bad


def huge_input() -> onnx.ModelProto:
    bad = identity()
    for port in (bad.graph.input[0], bad.graph.output[0]):
        port.type.tensor_type.shape.dim[0].dim_value = 2**40
    return bad


def negative_input() -> onnx.ModelProto:
    bad = identity()
    bad.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    return bad


def hungry() -> onnx.ModelProto:
    """17 live tensors of 64 MB, and one element of most: 16 of them alone take a gigabyte."""
    nodes = [helper.make_node("Identity", ["x"], [f"t{at}"]) for at in range(16)]
    nodes += [helper.make_node("Slice", [f"t{at}", "from", "to", "from"], [f"y{at}"]) for at in range(16)]
    return sliced(nodes, [helper.make_tensor_value_info("x", TensorProto.INT8, [2**26])], 16)


def sliced(nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], outputs: int) -> onnx.ModelProto:
    """A model whose outputs have one element each."""
    ports = [helper.make_tensor_value_info(f"y{at}", TensorProto.INT8, [1]) for at in range(outputs)]
    limits = [
        helper.make_tensor(name, TensorProto.INT64, [1], [at]) for at, name in enumerate(("from", "to"))
    ]
    graph = helper.make_graph(nodes, "g", inputs, ports, limits)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def large_output() -> onnx.ModelProto:
    """Nine copies of an input of 1 MB."""
    node = helper.make_node("Concat", ["x"] * 9, ["y"], axis=1)
    ports = [
        helper.make_tensor_value_info(name, TensorProto.INT8, [1, size * 2**20])
        for name, size in (("x", 1), ("y", 9))
    ]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def large_inputs() -> onnx.ModelProto:
    """Two inputs of 48 MB, and one element of each."""
    inputs = [helper.make_tensor_value_info(f"x{at}", TensorProto.INT8, [3 * 2**24]) for at in range(2)]
    nodes = [helper.make_node("Slice", [f"x{at}", "from", "to", "from"], [f"y{at}"]) for at in range(2)]
    return sliced(nodes, inputs, 2)


def unknown_attribute_type() -> onnx.ModelProto:
    bad = identity()
    bad.graph.node[0].attribute.add(name="a", type=14)
    return bad


def no_axes() -> onnx.ModelProto:
    """A list without elements: not to be taken for none of the dimensions, for engines take it for all."""
    bad = model(helper.make_node("ReduceMax", ["x"], ["y"], axes=[1]))
    bad.graph.node[0].attribute[0].ClearField("ints")
    return bad


def training() -> onnx.ModelProto:
    bad = identity()
    bad.training_info.add()
    return bad


def wrong_sizes() -> onnx.ModelProto:
    bad = identity()
    bad.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[4], raw_data=b"123")
    return bad


def elements_twice() -> onnx.ModelProto:
    bad = identity()
    bad.graph.initializer.add(
        name="w", data_type=TensorProto.FLOAT, dims=[1], raw_data=b"1234", float_data=[1.0]
    )
    return bad


def not_tensors() -> onnx.ModelProto:
    bad = identity()
    bad.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = 1
    return bad


HOSTILE: list[tuple[Callable[[], onnx.ModelProto], str]] = [
    (lambda: external("/etc/passwd"), "external data is not allowed"),
    (lambda: external("weights.bin"), "external data is not allowed"),
    (external_without_a_place, "external data is not allowed"),
    (external_without_a_mark, "external data is not allowed"),
    (loop, "operator Loop is not allowed"),
    (subgraph_on_an_admitted_operator, "subgraphs are not allowed"),
    (lambda: model(helper.make_node("ConstantOfShape", ["x"], ["y"])), "ConstantOfShape is not allowed"),
    (lambda: model(helper.make_node("Range", ["x", "x", "x"], ["y"])), "Range is not allowed"),
    (lambda: model(helper.make_node("Tile", ["x", "n"], ["y"])), "Tile is not allowed"),
    (lambda: model(helper.make_node("RandomUniform", [], ["y"], shape=[1])), "RandomUniform is not allowed"),
    (lambda: model(helper.make_node("Dropout", ["x"], ["y"])), "Dropout is not allowed"),
    (lambda: model(helper.make_node("If", ["x"], ["y"])), "If is not allowed"),
    (chain, "20000 x node, more than 5000"),
    (division_by_zero, "the divisor may be 0"),
    (sparse, "sparse tensors are not allowed"),
    (text, "text tensors are not allowed|element type 8 is not allowed"),
    (function, "functions are not allowed"),
    (foreign_domain, "'com.microsoft' are not allowed"),
    (undeclared_domain, "'com.microsoft' are not allowed"),
    (open_batch, "every dimension must be a number"),
    (huge_input, "more than 67108864 elements"),
    (negative_input, "a dimension is below 1"),
    (hungry, "a run takes 1140850[0-9]{3} bytes"),
    (large_output, "the outputs take 9437184 bytes, more than 8388608"),
    (large_inputs, "the inputs take 100663296 bytes, more than 67108864"),
    (unknown_attribute_type, "a type that is not allowed"),
    (no_axes, "the attribute 'axes' is missing"),
    (training, "training graphs are not allowed"),
    (wrong_sizes, "does not take 3 bytes"),
    (elements_twice, "holds its elements twice"),
    (not_tensors, "must be tensors"),
    (lambda: model(helper.make_node("Identity", ["x"], ["y"]), opset=99), "operator set 99 is not among"),
]


@pytest.mark.parametrize(("make", "why"), HOSTILE)
def test_a_hostile_model_is_refused(make: Callable[[], onnx.ModelProto], why: str) -> None:
    with pytest.raises(Refused, match=why):
        prove(make().SerializeToString())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "names no version"),
        (b"\x00\x00", "unknown field 0"),
        (b"\x80" * 11, "longer than 64 bits"),
        (b"\xff" * 9 + b"\x7f", "longer than 64 bits"),
        (b"\x3a\x05\x00", "cut short"),
        (b"\x3a\x80", "cut short inside a number"),
        (b"\x3b", "wire type 3"),
        (b"\x08\x08\x08\x08", "ir_version twice"),
        (b"\xa2\x06\x00", "unknown field 100"),
        (bytes(64 * 1024 * 1024 + 1), "more than 67108864"),
    ],
)
def test_malformed_bytes_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(Refused, match=why):
        prove(data)


def test_a_file_of_countless_fields_is_refused() -> None:
    with pytest.raises(Refused, match="too many fields"):
        Reader(items_max=10).message(memoryview(b"\x72\x00" * 11), "ModelProto", schema.MODEL)


def test_a_control_character_never_reaches_a_reason() -> None:
    bad = identity()
    bad.graph.node[0].op_type = "\x1b[2J"
    answer = verdict(bad.SerializeToString())
    assert isinstance(answer, Refusal)
    assert (answer.node + answer.reason).isprintable()


def test_a_name_that_only_some_versions_of_unicode_can_print_is_refused() -> None:
    """Unicode 15 has the character, Unicode 14 (Python 3.11) has not: a verdict must not depend on that."""
    bad = identity()
    bad.graph.node[0].input[0] = bad.graph.input[0].name = "\N{LATIN SMALL LETTER A}\U0001fae8"
    answer = verdict(bad.SerializeToString())
    assert answer == Refusal(node="model", reason="a name or text has characters beyond ASCII")


def test_a_long_list_of_scales_is_refused_before_it_is_split() -> None:
    bad = identity()
    bad.metadata_props.add(key="exact.scale.x", value="1/1 " * 100_000)
    answer = verdict(bad.SerializeToString())
    assert isinstance(answer, Refusal)
    assert "is longer than 65536" in answer.reason


def test_every_truncation_is_refused_or_complete() -> None:
    whole = two_layers()
    for size in range(len(whole)):
        answer = verdict(whole[:size])
        assert isinstance(answer, Refusal)
        assert answer.reason


MUTATED = [two_layers(metadata={"exact.scale.x": "1/7"}), *map(drawn, range(20))]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(MUTATED),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    st.binary(max_size=8),
)
def test_a_mutated_file_is_proved_or_refused_and_nothing_else(
    whole: bytes, changes: list[tuple[float, int]], inserted: bytes
) -> None:
    data = bytearray(whole)
    for place, byte in changes:
        data[int(place * len(data))] = byte
    at = int(changes[0][0] * len(data))
    data[at:at] = inserted
    answer = verdict(bytes(data))
    assert len(encode_verdict(answer)) <= VERDICT_BYTES_MAX
    assert answer == verdict(bytes(data))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    assert isinstance(verdict(data), Refusal)
