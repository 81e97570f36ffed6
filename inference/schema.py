"""The messages of an ONNX file, field by field; a field that is not here, or is marked refused, ends the
reading.

Source: onnx/onnx `onnx/onnx.proto` (IR version 13).
"""

from typing import Final

from inference.wire import Field, Schema, WireType

_TEXT: Final = WireType.BYTES
_MESSAGE: Final = WireType.BYTES
_NUMBER: Final = WireType.VARINT

MODEL: Final[Schema] = {
    1: Field("ir_version", _NUMBER),
    2: Field("producer_name", _TEXT),
    3: Field("producer_version", _TEXT),
    4: Field("domain", _TEXT),
    5: Field("model_version", _NUMBER),
    6: Field("doc_string", _TEXT),
    7: Field("graph", _MESSAGE),
    8: Field("opset_import", _MESSAGE, repeated=True),
    14: Field("metadata_props", _MESSAGE, repeated=True),
    20: Field("training_info", _MESSAGE, refused="training graphs are not allowed"),
    25: Field("functions", _MESSAGE, refused="functions are not allowed"),
    26: Field("configuration", _MESSAGE, refused="device configurations are not allowed"),
}
OPERATOR_SET: Final[Schema] = {1: Field("domain", _TEXT), 2: Field("version", _NUMBER)}
ENTRY: Final[Schema] = {1: Field("key", _TEXT), 2: Field("value", _TEXT)}
GRAPH: Final[Schema] = {
    1: Field("node", _MESSAGE, repeated=True),
    2: Field("name", _TEXT),
    5: Field("initializer", _MESSAGE, repeated=True),
    10: Field("doc_string", _TEXT),
    11: Field("input", _MESSAGE, repeated=True),
    12: Field("output", _MESSAGE, repeated=True),
    13: Field("value_info", _MESSAGE, repeated=True),
    14: Field("quantization_annotation", _MESSAGE, refused="quantization annotations are not allowed"),
    15: Field("sparse_initializer", _MESSAGE, refused="sparse tensors are not allowed"),
    16: Field("metadata_props", _MESSAGE, repeated=True),
}
NODE: Final[Schema] = {
    1: Field("input", _TEXT, repeated=True),
    2: Field("output", _TEXT, repeated=True),
    3: Field("name", _TEXT),
    4: Field("op_type", _TEXT),
    5: Field("attribute", _MESSAGE, repeated=True),
    6: Field("doc_string", _TEXT),
    7: Field("domain", _TEXT),
    8: Field("overload", _TEXT),
    9: Field("metadata_props", _MESSAGE, repeated=True),
    10: Field("device_configurations", _MESSAGE, refused="device configurations are not allowed"),
}
ATTRIBUTE: Final[Schema] = {
    1: Field("name", _TEXT),
    2: Field("f", WireType.FIXED32),
    3: Field("i", _NUMBER),
    4: Field("s", _TEXT),
    5: Field("t", _MESSAGE),
    6: Field("g", _MESSAGE, refused="subgraphs are not allowed"),
    7: Field("floats", WireType.FIXED32, repeated=True),
    8: Field("ints", _NUMBER, repeated=True),
    9: Field("strings", _TEXT, repeated=True),
    10: Field("tensors", _MESSAGE, refused="lists of tensors are not allowed"),
    11: Field("graphs", _MESSAGE, refused="subgraphs are not allowed"),
    13: Field("doc_string", _TEXT),
    14: Field("tp", _MESSAGE, refused="type attributes are not allowed"),
    15: Field("type_protos", _MESSAGE, refused="type attributes are not allowed"),
    20: Field("type", _NUMBER),
    21: Field("ref_attr_name", _TEXT, refused="functions are not allowed"),
    22: Field("sparse_tensor", _MESSAGE, refused="sparse tensors are not allowed"),
    23: Field("sparse_tensors", _MESSAGE, refused="sparse tensors are not allowed"),
}
TENSOR: Final[Schema] = {
    1: Field("dims", _NUMBER, repeated=True),
    2: Field("data_type", _NUMBER),
    3: Field("segment", _MESSAGE, refused="tensors in segments are not allowed"),
    4: Field("float_data", WireType.FIXED32, repeated=True),
    5: Field("int32_data", _NUMBER, repeated=True),
    6: Field("string_data", _TEXT, refused="text tensors are not allowed"),
    7: Field("int64_data", _NUMBER, repeated=True),
    8: Field("name", _TEXT),
    9: Field("raw_data", _TEXT),
    10: Field("double_data", WireType.FIXED64, repeated=True),
    11: Field("uint64_data", _NUMBER, refused="unsigned 64-bit tensors are not allowed"),
    12: Field("doc_string", _TEXT),
    13: Field("external_data", _MESSAGE, refused="external data is not allowed: weights must be in the file"),
    14: Field("data_location", _NUMBER),
    16: Field("metadata_props", _MESSAGE, repeated=True),
}
VALUE_INFO: Final[Schema] = {
    1: Field("name", _TEXT),
    2: Field("type", _MESSAGE),
    3: Field("doc_string", _TEXT),
    4: Field("metadata_props", _MESSAGE, repeated=True),
}
TYPE: Final[Schema] = {
    1: Field("tensor_type", _MESSAGE),
    4: Field("sequence_type", _MESSAGE),
    5: Field("map_type", _MESSAGE),
    6: Field("denotation", _TEXT),
    8: Field("sparse_tensor_type", _MESSAGE, refused="sparse tensors are not allowed"),
    9: Field("optional_type", _MESSAGE, refused="optional types are not allowed"),
}
TENSOR_TYPE: Final[Schema] = {1: Field("elem_type", _NUMBER), 2: Field("shape", _MESSAGE)}
SHAPE: Final[Schema] = {1: Field("dim", _MESSAGE, repeated=True)}
DIMENSION: Final[Schema] = {
    1: Field("dim_value", _NUMBER),
    2: Field("dim_param", _TEXT),
    3: Field("denotation", _TEXT),
}

ELEMENT_TYPES: Final = {
    1: "float32",
    2: "uint8",
    3: "int8",
    5: "int16",
    6: "int32",
    7: "int64",
    11: "float64",
}
"""Codes of the element types that a model may use."""

_HALF: Final = "half-precision numbers are not allowed: export the model in float32"

REFUSED_TYPES: Final = {
    8: "texts are not allowed: give the model numbers",
    10: _HALF,
    16: _HALF,
}
"""Codes of element types that people try, and what to do about each."""

BOOLEAN: Final = 9
"""The code of an element type that only float models use."""

ELEMENT_CODES: Final = {name: code for code, name in ELEMENT_TYPES.items()}


class AttributeType:
    """Codes of the attribute types that a model may use."""

    FLOAT: Final = 1
    INT: Final = 2
    STRING: Final = 3
    TENSOR: Final = 4
    FLOATS: Final = 6
    INTS: Final = 7
    STRINGS: Final = 8
