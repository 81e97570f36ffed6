"""Forests in the spellings of several exporters."""

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from inference.converter.exact import make_exact
from inference.converter.options import Options, unwatched
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.refusal import Refused
from tests.inference.converter.checks import ensure
from tests.inference.converter.floats import model, node, program_of
from tests.inference.converter.oracle import evaluate, float_results

NODES: dict[str, Any] = {
    "nodes_treeids": [0, 0, 0, 1, 1, 1],
    "nodes_nodeids": [0, 1, 2, 0, 1, 2],
    "nodes_featureids": [0, 0, 0, 2, 0, 0],
    "nodes_values": [0.5, 0, 0, -0.25, 0, 0],
    "nodes_truenodeids": [1, 0, 0, 1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0, 2, 0, 0],
}


def regressor(modes: tuple[str, str], **attributes: Any) -> NodeProto:
    """Two trees of one comparison each."""
    return node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        **NODES,
        nodes_modes=[modes[0], "LEAF", "LEAF", modes[1], "LEAF", "LEAF"],
        n_targets=1,
        target_treeids=[0, 0, 1, 1],
        target_nodeids=[1, 2, 1, 2],
        target_ids=[0, 0, 0, 0],
        target_weights=[1.0, 2.0, 10.0, 20.0],
        **attributes,
    )


@pytest.mark.parametrize("mode", ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE"])
@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE"])
def test_comparisons_on_and_beside_the_threshold(mode: str, aggregate: str) -> None:
    made = regressor((mode, mode), aggregate_function=aggregate, base_values=[0.125])
    program = program_of(model([made], {}, x=("batch", 3)))
    for first in (0.25, 0.5, 0.75):
        for third in (-0.5, -0.25, 0.0):
            inputs = {"x": np.array([[first, 0, third]])}
            np.testing.assert_allclose(
                evaluate(program, inputs)["y"], float_results(program, inputs)["y"], rtol=1e-6
            )


@pytest.mark.parametrize("modes", [("BRANCH_LEQ", "BRANCH_LT"), ("BRANCH_EQ", "BRANCH_EQ")])
def test_comparisons_of_other_kinds_are_refused(modes: tuple[str, str]) -> None:
    with pytest.raises(Refused, match=r"TreeEnsembleRegressor -> y\): comparisons .*; trees must use one of"):
        program_of(model([regressor(modes)], {}, x=("batch", 3)))


def test_other_ways_to_aggregate_are_refused() -> None:
    made = regressor(("BRANCH_LEQ", "BRANCH_LEQ"), aggregate_function="MAX")
    with pytest.raises(Refused, match="the aggregate function MAX is not supported; use SUM or AVERAGE"):
        program_of(model([made], {}, x=("batch", 3)))


def test_a_scale_behind_a_forest_goes_into_its_leaves() -> None:
    made = regressor(("BRANCH_LEQ", "BRANCH_LEQ"))
    made.output[0] = "t"
    nodes = [made, node("Mul", ["t", "rate"], ["r"]), node("Add", ["r", "start"], ["y"])]
    ensure(model(nodes, {"rate": 0.1, "start": 5.0}, x=("batch", 3)), ["Trees"])


@pytest.mark.parametrize("mode", ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE"])
def test_the_exact_form_goes_the_same_way_on_a_threshold(mode: str) -> None:
    program = program_of(model([regressor((mode, mode))], {}, x=(1, 3)))
    rows = [
        (first, 0.0, third) for first in (0.0, 0.25, 0.5, 0.75, 1.0) for third in (-1.0, -0.5, -0.25, 0.0)
    ]
    samples = [{"x": np.array([row], np.float32)} for row in rows]
    conversion = make_exact(program, samples, samples, Options(), OnnxRuntimeEngine(), unwatched)
    assert conversion.report.outputs[0].relative_error < 1e-3
