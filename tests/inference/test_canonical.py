"""Files that say the same have the same hash; files that do not, do not."""

from dataclasses import replace

import onnx
from onnx import numpy_helper

from inference.graph import AttributeValue, Port, read
from inference.operators.registry import EXACT
from inference.prover import prove
from tests.inference.build import file, floats, node, two_layers

X = Port("x", "int8", (1, 3))


def retold() -> bytes:
    """The two-layer model in other words: names, order, storage, comments, versions, explicit defaults."""
    model = onnx.load_from_string(two_layers())
    kept = {"x", "scores", "class", ""}
    for each in model.graph.node:
        for names in (each.input, each.output):
            names[:] = [name if name in kept else f"other_{name}" for name in names]
        each.name, each.doc_string = "a name", "a comment"
        attributes = sorted(each.attribute, key=lambda attribute: attribute.name, reverse=True)
        del each.attribute[:]
        each.attribute.extend(attributes)
    gemm = model.graph.node[1]
    gemm.attribute.extend([onnx.helper.make_attribute("transB", 0), onnx.helper.make_attribute("alpha", 1.0)])
    tensors = sorted(model.graph.initializer, key=lambda tensor: tensor.name)
    del model.graph.initializer[:]
    for tensor in tensors:
        array = numpy_helper.to_array(tensor)
        model.graph.initializer.add(
            name=f"other_{tensor.name}",
            data_type=onnx.TensorProto.FLOAT,
            dims=array.shape,
            float_data=array.reshape(-1),
        )
    model.graph.initializer.add(name="unused", data_type=onnx.TensorProto.FLOAT, dims=[1], float_data=[1])
    model.graph.name, model.producer_name, model.ir_version = "told otherwise", "somebody", 9
    model.opset_import[0].version = 20
    model.metadata_props.add(key="author", value="somebody\nelse")
    file: bytes = model.SerializeToString()
    return file


def test_the_same_function_in_other_words_has_the_same_certificate() -> None:
    assert retold() != two_layers()
    assert prove(retold()) == prove(two_layers())


def test_another_weight_is_another_model() -> None:
    weights = [3, -2, 0.5, 4, 1, -1, 2, 0.25, -5, 6, 7, -9]
    assert prove(two_layers(weights)).certificate.model_hash != prove(two_layers()).certificate.model_hash


def test_zero_has_a_sign_that_the_hash_sees_and_the_outputs_do_not() -> None:
    assert floats((), (0.0,)) != floats((), (-0.0,))
    plus, minus = ([sign, *[1] * 11] for sign in (0.0, -0.0))
    certificates = [prove(two_layers(each)).certificate for each in (plus, minus)]
    assert certificates[0].bounds_digest == certificates[1].bounds_digest
    assert certificates[0].model_hash != certificates[1].model_hash


def test_every_kind_of_attribute_is_written_as_onnx_reads_it() -> None:
    attributes: dict[str, AttributeValue] = {
        "f": -0.5,
        "fs": (1.0, -2.5),
        "i": -3,
        "is": (-1, 0, 2**62),
        "s": b"a",
        "ss": (b"b", b""),
    }
    data = file([node("Identity", "x", "y", none=(), **attributes)], [X], [replace(X, name="y")])
    written = onnx.load_from_string(data).graph.node[0].attribute
    assert {each.name: onnx.helper.get_attribute_value(each) for each in written} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in attributes.items()
    }
    assert read(data, EXACT).nodes[0].attributes == attributes


def test_every_node_is_named_by_its_position() -> None:
    """Without, onnxruntime 1.20 and others call two nodes the same that they put after unnamed ones."""
    named = onnx.load_from_string(prove(retold()).canonical).graph.node
    assert [each.name for each in named] == [f"n{position}" for position in range(len(named))]
