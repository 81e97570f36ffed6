"""Every model that an exporter wrote is understood, and decides in numpy as it does in onnxruntime."""

from typing import Any

import numpy as np
import pytest

from inference.converter.convert import convert
from inference.converter.options import Options
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from tests.inference.converter.checks import ensure_meaning
from tests.inference.converter.floats import program_of
from tests.inference.converter.oracle import evaluate, headed
from tests.models.load import load, names, run_float


@pytest.mark.parametrize("name", names())
def test_models_of_exporters_are_understood(name: str) -> None:
    model = load(name)
    sample = model.held_out[0]
    program = program_of(model.model, shapes={key: value.shape for key, value in sample.items()})
    ensure_meaning(program, sample)
    results: dict[str, Any] = evaluate(program, sample)
    (sink,) = program.sinks
    (expected,) = run_float(model, [sample])
    given = headed(results[sink.step], sink.head, sink.head_axis)
    if expected.dtype.kind == "f" and expected.size == given.size:
        # After a sigmoid of each score, scikit-learn's exporter divides by their sum.
        shares = [given, given / given.sum()]
        size = np.abs(expected).max()
        assert any(
            np.allclose(each.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5 * size)
            for each in shares
        )
    else:
        assert expected.reshape(-1).tolist() == [given.argmax()]


@pytest.mark.parametrize("name", ["bert", "row_transformer"])
def test_transformers_of_exporters_become_exact(name: str) -> None:
    """Whose limits vary along several dimensions, and whose products fill 24 bits."""
    model = load(name)
    samples = model.samples[:32]
    done = convert(model.model, samples, model.held_out[:4], Options(), OnnxRuntimeEngine(threads=1))
    assert done.report.matched == done.report.total
