"""Random graphs: whatever the prover lets pass, every engine computes alike and within bounds."""

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.engines.interface import InferenceEngine
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.graph import Node, Port
from inference.prover import prove
from inference.refusal import Refused
from inference.schema import ELEMENT_CODES
from inference.tensor import Tensor, from_integers, integers
from tests.inference.build import file, floats, node

ENGINES: list[InferenceEngine] = [
    NumpyEngine(),
    OnnxRuntimeEngine(1, Optimization.NONE),
    OnnxRuntimeEngine(1, Optimization.ALL),
    OnnxRuntimeEngine(3, Optimization.ALL),
]

WIDTH = 3


@dataclass
class Drawn:
    """A graph in the making, over int8 x[1,3]; every float tensor is [1,3] as well."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    floats: list[str] = field(default_factory=list)

    def add(self, operator: str, inputs: str, **attributes: int) -> None:
        name = f"v{len(self.nodes)}"
        self.nodes.append(node(operator, inputs, name, **attributes))
        self.floats.append(name)

    def constant(self, tensor: Tensor) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = tensor
        return name


dyadic = st.builds(lambda mantissa, step: mantissa * 2.0**step, st.integers(-300, 300), st.integers(-6, 3))


@st.composite
def graphs(draw: st.DrawFn) -> bytes:
    drawn = Drawn()
    drawn.add("Cast", "x", to=ELEMENT_CODES["float32"])
    for _ in range(draw(st.integers(1, 8))):
        operator = draw(
            st.sampled_from(["Add", "Sub", "Mul", "Gemm", "MatMul", "Relu", "Clip", "Clip", "Round", "Round"])
        )
        left = draw(st.sampled_from(drawn.floats[-3:]))
        if operator in ("Relu", "Round"):
            drawn.add(operator, left)
        elif operator == "Clip":
            limits = sorted(draw(st.tuples(dyadic, dyadic)))
            drawn.add(operator, " ".join([left, *(drawn.constant(floats((), [limit])) for limit in limits)]))
        elif operator in ("Gemm", "MatMul"):
            weights = drawn.constant(floats((WIDTH, WIDTH), draw(st.lists(dyadic, min_size=9, max_size=9))))
            bias = drawn.constant(floats((WIDTH,), draw(st.lists(dyadic, min_size=3, max_size=3))))
            drawn.add(operator, f"{left} {weights} {bias}" if operator == "Gemm" else f"{left} {weights}")
        elif draw(st.booleans()):
            drawn.add(operator, f"{left} {draw(st.sampled_from(drawn.floats))}")
        else:
            shape = draw(st.sampled_from([(), (1,), (WIDTH,), (1, WIDTH)]))
            size = WIDTH if WIDTH in shape else 1
            other = drawn.constant(floats(shape, draw(st.lists(dyadic, min_size=size, max_size=size))))
            drawn.add(operator, draw(st.sampled_from([f"{left} {other}", f"{other} {left}"])))
    used = {name for each in drawn.nodes for name in each.inputs}
    ports = []
    for index, name in enumerate([name for name in drawn.floats if name not in used]):
        drawn.nodes.append(node("Round", name, f"r{index}"))
        drawn.nodes.append(node("Cast", f"r{index}", f"y{index}", to=ELEMENT_CODES["int32"]))
        ports.append(Port(f"y{index}", "int32", (1, WIDTH)))
    return file(drawn.nodes, [Port("x", "int8", (1, WIDTH))], ports, drawn.constants)


CORNERS = [(from_integers("int8", (1, WIDTH), values),) for values in product((-128, 127), repeat=WIDTH)] + [
    (from_integers("int8", (1, WIDTH), (53, -77, 20)),)
]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs())
def test_what_is_proved_is_computed_alike_and_within_bounds(data: bytes) -> None:
    try:
        proof = prove(data)
    except Refused:
        return
    models = [engine.load(proof.canonical) for engine in ENGINES]
    for inputs in CORNERS:
        first, *others = [model.run(inputs) for model in models]
        assert all(other == first for other in others)
        for port, tensor in zip(proof.certificate.outputs, first, strict=True):
            assert all(port.low <= value <= port.high for value in integers(tensor))


def test_a_bound_is_reached_where_nothing_cancels() -> None:
    """The bounds are not merely safe: the largest sum that they allow is computed, and is exact."""
    nodes = [
        node("Cast", "x", "r", to=ELEMENT_CODES["float32"]),
        node("MatMul", "r w", "s"),
        node("Cast", "s", "y", to=ELEMENT_CODES["int32"]),
    ]
    weights = floats((WIDTH, WIDTH), [43690, 0, 0, 43690, 0, 0, -43691, 0, 0])
    port = [Port("y", "int32", (1, WIDTH))]
    proof = prove(file(nodes, [Port("x", "int8", (1, WIDTH))], port, {"w": weights}))
    inputs = (from_integers("int8", (1, WIDTH), (-128, -128, 127)),)
    expected = Fraction(-128 * 43690 * 2 - 127 * 43691)
    for engine in ENGINES:
        assert integers(engine.load(proof.canonical).run(inputs)[0])[0] == expected
    assert proof.certificate.outputs[0].low == -128 * 43690 * 2 - 127 * 43691


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32"])
def test_every_admitted_type_runs_on_the_default_engine(dtype: str) -> None:
    shape = (1, WIDTH)
    nodes = [
        node("Identity", "x", "same"),
        node("Flatten", "same", "flat"),
        node("Reshape", "flat shape", "y"),
    ]
    constants = {"shape": from_integers("int64", (2,), [1, WIDTH])}
    ports = [Port("y", dtype, shape)]
    inputs = (from_integers(dtype, shape, (1, 2, 3)),)
    proof = prove(file(nodes, [Port("x", dtype, shape)], ports, constants))
    assert all(engine.load(proof.canonical).run(inputs) == inputs for engine in ENGINES)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
@pytest.mark.parametrize("to", ["int8", "uint8", "int16", "int32"])
def test_every_limit_and_cast_runs_on_the_default_engine(dtype: str, to: str) -> None:
    shape = (1, WIDTH)
    nodes = [node("Clip", "x low high", "limited"), node("Cast", "limited", "y", to=ELEMENT_CODES[to])]
    constants = {"low": from_integers(dtype, (), [2]), "high": from_integers(dtype, (), [100])}
    inputs = (from_integers(dtype, shape, (1, 50, 127)),)
    proof = prove(file(nodes, [Port("x", dtype, shape)], [Port("y", to, shape)], constants))
    for engine in ENGINES:
        assert engine.load(proof.canonical).run(inputs) == (from_integers(to, shape, (2, 50, 100)),)
