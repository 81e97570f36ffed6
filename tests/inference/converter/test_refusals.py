"""What cannot be made exact is refused with the node and with what to change."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto

from inference.converter.understanding import understand
from inference.refusal import Refused
from tests.inference.converter.checks import WORDS, ensure_meaning, sample
from tests.inference.converter.floats import model, node, program_of, typed_model, weights
from tests.inference.converter.test_idioms import ATTENTION, MASKED, attention

REFUSED: dict[str, tuple[list[NodeProto], dict[str, Any], str]] = {
    "computed weights": (
        [node("Conv", ["x", "z"], ["y"])],
        {},
        "node 0 (Conv -> y): the weights must be constant",
    ),
    "a transposed input": (
        [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], ["y"], transA=1)],
        {"w": weights(1, 2)},
        "node 1 (Gemm -> y): transA is not supported",
    ),
    "recurrent layers": (
        [node("LSTM", ["x", "w", "r"], ["y"], hidden_size=2)],
        {"w": weights(1, 8, 3), "r": weights(1, 8, 2)},
        "node 0 (LSTM -> y): recurrent layers are not supported; use convolutions or attention",
    ),
    "kernel machines": (
        [node("SVMRegressor", ["x"], ["y"], domain="ai.onnx.ml")],
        {},
        "node 0 (SVMRegressor -> y): kernel machines have no exact form; train trees or a network",
    ),
    "loops": (
        [node("Scan", ["x"], ["y"])],
        {},
        "node 0 (Scan -> y): loops and branches, as of nearest neighbours, have no exact form",
    ),
    "half precision": (
        [node("Mul", ["x", "h"], ["y"])],
        {"h": np.ones(1, np.float16)},
        "h: half-precision numbers are not allowed: export the model in float32",
    ),
    "a huge window": (
        [node("MaxPool", ["x"], ["y"], kernel_shape=[1 << 40, 3], auto_pad="SAME_UPPER")],
        {},
        "node 0 (MaxPool -> y): a window of [1099511627776, 3], or its padding, is impossible",
    ),
    "nothing left": (
        [node("Slice", ["x", "a", "b"], ["s"]), node("Relu", ["s"], ["y"])],
        {"a": np.array([1]), "b": np.array([1])},
        "s: this tensor has no elements",
    ),
    "backwards": (
        [node("Slice", ["x", "a", "b", "c", "d"], ["y"])],
        {name: np.array([value]) for name, value in {"a": -1, "b": -9, "c": 3, "d": -1}.items()},
        "node 0 (Slice -> y): slicing backwards is not supported",
    ),
    "rounding within": (
        [
            node("Cast", ["x"], ["i"], to=TensorProto.INT64),
            node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
            node("ReduceSum", ["f"], ["y"]),
        ],
        {},
        "node 0 (Cast -> i): a step from float32 to int64 within the model",
    ),
    "a sum with infinity": (
        [node("Add", ["x", "low"], ["y"])],
        {"low": np.where(weights(8) > 0, 0, -np.inf)},
        "y: an infinite constant is added that is no mask in front of a softmax",
    ),
    "not a number": (
        [node("Conv", ["x", "w"], ["y"])],
        {"w": np.full((1, 4, 1, 1), np.nan)},
        "node 0 (Conv -> y): the weights are infinite or not a number",
    ),
    "the input itself": (
        [node("Identity", ["x"], ["y"])],
        {},
        "y: the output does not depend on the inputs, or is one",
    ),
    "the last of the greatest": (
        [node("ArgMax", ["x"], ["y"], select_last_index=1)],
        {},
        "node 0 (ArgMax -> y): of equal scores the last is chosen; export with select_last_index 0",
    ),
    "norms of features": (
        [
            node("Flatten", ["x"], ["f"]),
            node("Normalizer", ["f"], ["n"], domain="ai.onnx.ml", norm="L1"),
            node("MatMul", ["n", "w"], ["y"]),
        ],
        {"w": weights(192, 2)},
        "node 1 (Normalizer -> n): this operator has no exact form here",
    ),
    "imputed numbers": (
        [
            node("Flatten", ["x"], ["f"]),
            node(
                "Imputer",
                ["f"],
                ["n"],
                domain="ai.onnx.ml",
                replaced_value_float=-1.0,
                imputed_value_floats=[0.5],
            ),
            node("MatMul", ["n", "w"], ["y"]),
        ],
        {"w": weights(192, 2)},
        "node 1 (Imputer -> n): it replaces the value -1.0; impute before the model instead",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_node(name: str) -> None:
    nodes, constants, reason = REFUSED[name]
    inputs: dict[str, Any] = {"x": (1, 4, 6, 8)}
    if name == "computed weights":
        inputs["z"] = (2, 4, 1, 1)
    if name == "recurrent layers":
        inputs["x"] = (4, 1, 3)
    if name == "the last of the greatest":
        inputs["x"] = (1, 4)
    with pytest.raises(Refused) as refused:
        program_of(model(nodes, constants, **inputs))
    assert str(refused.value) == reason


def test_an_input_that_nothing_reads_is_refused() -> None:
    data = model([node("Relu", ["x"], ["y"])], {}, x=(1, 4), z=(1, 4))
    with pytest.raises(Refused, match="z: the outputs do not depend on this input; bind it as a constant"):
        program_of(data)


def test_a_mask_beyond_understanding_is_refused_with_the_input_to_bind() -> None:
    nodes = [
        node("Unsqueeze", ["mask", "first"], ["wide"]),
        node("Cast", ["wide"], ["real"], to=1),
        node("Sub", ["one", "real"], ["not"]),
        node("Add", ["raw", "not"], ["masked"]),
    ]
    data = model(attention(nodes, "masked"), ATTENTION | MASKED, x=WORDS, mask=(1, 5))
    with pytest.raises(Refused, match="mask: this attention mask is not understood; bind it as a constant"):
        program_of(data)


@pytest.mark.parametrize("code", [TensorProto.BOOL, TensorProto.STRING, TensorProto.FLOAT16])
def test_inputs_must_be_numbers(code: int) -> None:
    data = typed_model([node("Identity", ["x"], ["y"])], {}, {"x": (code, (1, 4))})
    with pytest.raises(Refused, match="x: the input is not a tensor of numbers; export the model with"):
        program_of(data)


def test_a_softmax_over_several_dimensions_is_refused() -> None:
    """As older operator sets mean it."""
    nodes = [node("Softmax", ["x"], ["s"], axis=1), node("MatMul", ["s", "w"], ["y"])]
    with pytest.raises(Refused, match="a softmax over several dimensions; export with operator set 13"):
        program_of(model(nodes, {"w": weights(8, 2)}, version=11, x=WORDS))


def test_a_chain_of_thousands_of_operators_is_understood() -> None:
    """Nothing recurses along the graph."""
    nodes = [node("Abs" if at % 2 else "Neg", [f"t{at}"], [f"t{at + 1}"]) for at in range(2000)]
    program = program_of(model(nodes, {}, ("t2000",), t0=(1, 3)))
    assert len(program.steps) == 1


def test_nodes_may_come_in_any_order() -> None:
    """onnxruntime takes them so, and may write them so."""
    data = model(attention([], "raw")[::-1], ATTENTION, x=WORDS)
    program = program_of(data)
    ensure_meaning(program, sample(program))


def test_the_same_file_gives_the_same_program_in_every_process(tmp_path: Path) -> None:
    """Whatever order the process gives to sets."""
    data = model(attention([], "raw"), ATTENTION, x=WORDS)
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    script = (
        "import sys; from hashlib import sha256; from pathlib import Path;"
        "from inference.converter.understanding import understand;"
        "program = understand(Path(sys.argv[1]).read_bytes());"
        "names = repr([(step.name, step.inputs) for step in program.steps]);"
        "print(sha256(program.folded + names.encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script, str(path)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    program = understand(data)
    names = repr([(step.name, step.inputs) for step in program.steps])
    assert digests == {sha256(program.folded + names.encode()).hexdigest()}
