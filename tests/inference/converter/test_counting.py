"""Whole numbers within a model: positions that are counted, rows that are looked up by them."""

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from inference.converter.exact import make_exact
from inference.converter.options import Options, unwatched
from inference.converter.report import Conversion
from inference.engines.interface import run, to_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.engines.reference import NumpyEngine
from inference.prover import prove
from inference.refusal import Refused
from inference.tensor import from_integers
from tests.inference.converter.checks import ensure, ensure_meaning
from tests.inference.converter.floats import model, node, program_of, weights
from tests.inference.converter.oracle import float_results

PADDING = 1
"""What stands for no word."""
LENGTH = 12
WORDS = 40

COUNTED = [
    node("Equal", ["ids", "padding"], ["no"]),
    node("Not", ["no"], ["yes"]),
    node("Cast", ["yes"], ["one"], to=6),
    node("CumSum", ["one", "axis"], ["count"]),
    node("Mul", ["count", "one"], ["place"]),
    node("Cast", ["place"], ["wide"], to=7),
    node("Add", ["wide", "padding"], ["position"]),
    node("GatherElements", ["zeros", "position"], ["kind"], axis=1),
    node("Gather", ["words", "ids"], ["word"]),
    node("Gather", ["places", "position"], ["where"]),
    node("Gather", ["kinds", "kind"], ["what"]),
    node("Add", ["word", "where"], ["both"]),
    node("Add", ["both", "what"], ["all"]),
    node("MatMul", ["all", "w"], ["y"]),
]
CONSTANTS = {
    "padding": np.int64(PADDING),
    "axis": np.int64(1),
    "zeros": np.zeros((1, 20), np.int64),
    "words": np.sign(weights(WORDS, 8)),
    "places": np.sign(weights(20, 8, seed=2)) * 3,
    "kinds": weights(2, 8, seed=3),
    "w": weights(8, 3, seed=4),
}


def text(words: int, seed: int) -> dict[str, Any]:
    """A text of as many words, of those below 20, then padding."""
    ids = np.full((1, LENGTH), PADDING)
    ids[0, :words] = np.random.default_rng(seed).integers(2, 20, words)
    return {"ids": ids}


def counted(shown: int) -> Conversion:
    """Calibrated on texts of up to so many words."""
    program = program_of(model(COUNTED, CONSTANTS, ids=(1, LENGTH)))
    shorter = [text(1 + at % shown, at) for at in range(40)]
    return make_exact(program, shorter, shorter, Options(), OnnxRuntimeEngine(), unwatched)


def test_positions_are_counted_and_looked_up() -> None:
    kinds = ["curve", "Matrix", "multiply", "affine", "Table", "Table", "add", "affine", "Matrix"]
    ensure(model(COUNTED, CONSTANTS, ids=(1, LENGTH)), kinds)


@pytest.mark.parametrize("engine", [OnnxRuntimeEngine, NumpyEngine])
def test_texts_longer_than_any_seen_and_words_never_seen_keep_their_rows(engine: type[Any]) -> None:
    # Rows reach as far in each dimension, whichever are chosen.
    conversion = counted(4)
    proof = prove(conversion.model)
    longest = {"ids": np.array([[39, 38, 2, 37, 3, 36, 35, 4, 34, 5, 33, 32]])}
    program = program_of(model(COUNTED, CONSTANTS, ids=(1, LENGTH)))
    expected = float_results(program, longest)["y"]
    values = longest["ids"].reshape(-1).tolist()
    (given,) = run(engine(), proof.canonical, [from_integers("int32", (1, LENGTH), values)])
    (declared,) = conversion.certificate.outputs
    scale = declared.scales[0]
    reals = to_array(given).astype(np.float64).reshape(-1) * scale.numerator / scale.denominator
    np.testing.assert_allclose(reals, expected.reshape(-1), rtol=0.02, atol=0.02)


def test_words_that_are_no_padding_are_no_words_themselves() -> None:
    """With 0 as padding, what says so is 0 for 0 and 1 for 1, as a mask is; 7 it makes 1."""
    nodes = [
        node("Equal", ["ids", "zero"], ["no"]),
        node("Not", ["no"], ["yes"]),
        node("Cast", ["yes"], ["one"], to=7),
        node("CumSum", ["one", "axis"], ["count"]),
        node("Gather", ["words", "ids"], ["word"]),
        node("Gather", ["places", "count"], ["place"]),
        node("Add", ["word", "place"], ["y"]),
    ]
    constants = {
        "zero": np.int64(0),
        "axis": np.int64(1),
        "words": weights(9, 4),
        "places": weights(60, 4, seed=2),
    }
    program = program_of(model(nodes, constants, ids=(1, 5)))
    ensure_meaning(program, {"ids": np.array([[0, 1, 7, 8, 0]])})


def test_a_mask_made_of_words_is_refused_in_front_of_a_softmax() -> None:
    nodes = [
        node("Gather", ["words", "ids"], ["q"]),
        node("Transpose", ["q"], ["k"], perm=[0, 2, 1]),
        node("MatMul", ["q", "k"], ["scores"]),
        node("Equal", ["ids", "zero"], ["no"]),
        node("Where", ["no", "low", "none"], ["mask"]),
        node("Add", ["scores", "mask"], ["masked"]),
        node("Softmax", ["masked"], ["shares"], axis=-1),
        node("MatMul", ["shares", "q"], ["y"]),
    ]
    constants = {"zero": np.int64(0), "words": weights(9, 4), "low": -1e4, "none": 0.0}
    with pytest.raises(Refused, match="this attention mask is not understood"):
        program_of(model(nodes, constants, ids=(1, 5)))


@pytest.mark.parametrize(("exclusive", "reverse"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_running_sums(exclusive: int, reverse: int) -> None:
    nodes = [node("CumSum", ["x", "axis"], ["y"], exclusive=exclusive, reverse=reverse)]
    ensure(model(nodes, {"axis": np.int64(-1)}, x=(1, 3, 5)), ["Matrix"])


@pytest.mark.parametrize(
    ("shape", "axis", "reason"),
    [
        ((1, 3, 5), 1, "sums may run along the last dimension only: transpose before"),
        ((1, 4096), 1, "a running sum of 4096 numbers; up to 2048 are possible"),
    ],
)
def test_running_sums_that_have_no_exact_form(shape: tuple[int, ...], axis: int, reason: str) -> None:
    data = model([node("CumSum", ["x", "axis"], ["y"])], {"axis": np.int64(axis)}, x=shape)
    with pytest.raises(Refused, match=reason):
        program_of(data)


def relative(indices: Any) -> list[NodeProto]:
    return [node("GatherElements", ["x", "indices"], ["y"], axis=-1)]


@pytest.mark.parametrize("lead", [True, False])
def test_elements_by_constant_indices(lead: bool) -> None:
    """The same for every head, as relative positions are, or not."""
    indices = np.random.default_rng(0).integers(-6, 6, (1, 3, 4, 5))
    indices = np.broadcast_to(indices[:, :1], indices.shape).copy() if lead else indices
    data = model(relative(indices), {"indices": indices}, x=(1, 3, 4, 6))
    program = ensure(data, ["Reshape", "Gather", "Reshape"])
    assert program.steps[1].shape == ((3, 20) if lead else (1, 60))


def test_elements_by_computed_indices_are_refused() -> None:
    data = model([node("GatherElements", ["x", "ids"], ["y"], axis=1)], {}, x=(1, 6), ids=(1, 6))
    with pytest.raises(Refused, match="only constant indices are supported here"):
        program_of(data)
