"""Real models of every kind become exact, decide as their float originals do, and give one answer everywhere.

`python -m benchmarks.exact_models` measures all of them, on all of their data.
"""

import numpy as np
import pytest

from inference.converter.convert import convert
from inference.converter.measure import codes_of
from inference.converter.options import Options
from inference.engines.interface import from_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.prover import prove
from tests.models.load import load

MODELS = {
    "digits_cnn": "convolutions and pooling",
    "mobilenet_v3": "hard swish, squeeze and excite",
    "row_transformer": "attention, norms and a mean over positions",
    "text_direction": "the text direction classifier of PP-OCR, as shipped",
    "text_line": "a class for every step of a sequence",
    "unet": "a class for every pixel",
    "vit": "a class token, position embeddings",
    "wine_lightgbm": "a forest for each class",
}
HELD_OUT = 30


@pytest.mark.parametrize("name", MODELS)
def test_a_real_model_becomes_exact_and_decides_alike(name: str) -> None:
    model, engine = load(name), OnnxRuntimeEngine()
    held_out = model.held_out[:HELD_OUT]
    options = Options(shapes={key: array.shape for key, array in held_out[0].items()})
    done = convert(model.model, model.samples[:120], held_out, options, engine)
    report = done.report.outputs[0]
    assert report.sure_matched >= 0.99 * report.sure_total
    assert report.matched >= 0.9 * report.total
    assert prove(done.model).certificate == done.certificate
    sample = {key: np.asarray(array) for key, array in held_out[0].items()}
    codes = [from_array(codes_of(port, sample[port.name])[0]) for port in done.certificate.inputs]
    answers = [
        OnnxRuntimeEngine(threads, level).load(done.model).run(codes)
        for threads, level in ((1, Optimization.NONE), (1, Optimization.ALL), (2, Optimization.ALL))
    ]
    assert answers[0] == answers[1] == answers[2] == NumpyEngine().load(done.model).run(codes)
