"""Exact models of all kinds, from which hostile ones are grown."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

from inference.converter.convert import convert
from inference.converter.options import Options
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.selftest.trial import vectors
from tests.inference import test_kinds, test_rounded, test_trees
from tests.inference.build import two_layers
from tests.inference.drawing import drawn
from tests.models.load import load

SEED_BYTES_MAX: Final = 40_000
"""Of a model to start from; larger ones only make the run slow."""

CONVERTED: Final = (
    *("diabetes_boosting", "diabetes_mlp", "diagnosis_forest", "diagnosis_logistic", "diagnosis_mlp"),
    *("digits_cnn", "silu_cnn", "wine_lightgbm", "wine_logistic"),
)
"""Small ones of `tests/models`, of every kind that the converter makes."""

SAMPLES: Final = 64
"""Enough to calibrate a model that need not be accurate."""


def seeds() -> list[bytes]:
    """What costs nothing to make: models that the tests and the self-test try, proved or refused."""
    made = [two_layers(metadata={"exact.scale.x": "1/7"}), *test_rounded.ADMITTED.values()]
    made += [
        test_kinds.model(operator, kind) for operator in test_kinds.CASES for kind in ("float32", "int32")
    ]
    random = Random(1)
    made += [test_trees.forest([test_trees.grown(random, 3, 2, 9) for _ in range(3)], 2) for _ in range(3)]
    made += [vector.model for vector in vectors() if len(vector.model) <= SEED_BYTES_MAX]
    return made


def converted(names: Sequence[str] = CONVERTED) -> Iterator[bytes]:
    """Real models made exact; each takes seconds."""
    for name in names:
        known = load(name)
        samples, held_out = known.samples[:SAMPLES], known.held_out[:2]
        yield convert(known.model, samples, held_out, Options(), OnnxRuntimeEngine()).model


def fresh(random: Random) -> bytes:
    """A random graph."""
    return drawn(random.getrandbits(32))
