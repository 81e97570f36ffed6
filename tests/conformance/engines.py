"""What every engine must do: pass the self-test, and give the reference's bits on random exact models."""

from collections.abc import Iterator
from functools import cache
from random import Random

from inference.converter.exact import make_exact
from inference.converter.options import Method, Options, unwatched
from inference.engines.interface import InferenceEngine, LoadedModel
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.engines.reference import NumpyEngine
from inference.graph import Port, read
from inference.operators.registry import EXACT
from inference.prover import prove
from inference.refusal import Refused
from inference.selftest.trial import trouble
from inference.tensor import ITEM_BYTES, Tensor
from tests.inference.converter.floats import program_of
from tests.inference.drawing import drawn
from tests.inference.twin.networks import network
from tests.models.load import load

RUNS = 4


@cache
def converted() -> bytes:
    """A trained network, converted for bytes."""
    model = load("digits_cnn")
    options = Options(int8=True, method=Method.ERROR)
    program = program_of(model.model, shapes={name: each.shape for name, each in model.samples[0].items()})
    samples, held_out = model.samples[:20], model.held_out[:4]
    return make_exact(program, samples, held_out, options, OnnxRuntimeEngine(), unwatched).model


def models(count: int) -> Iterator[bytes]:
    """A converted network, so many random ones for bytes, and what is proved of as many graphs."""
    yield converted()
    for seed in range(count):
        yield network(seed)
        try:
            yield prove(drawn(seed)).canonical
        except Refused:
            continue


def ensure_conforming(engine: InferenceEngine, count: int) -> None:
    """Raises AssertionError, with what is wrong."""
    reason = trouble(engine)
    assert reason is None, reason
    for index, model in enumerate(models(count)):
        ports, reference, loaded = read(model, EXACT).inputs, NumpyEngine().load(model), engine.load(model)
        _ensure_alike(reference, loaded, ports, index)


def _ensure_alike(reference: LoadedModel, loaded: LoadedModel, ports: tuple[Port, ...], index: int) -> None:
    random = Random(index)
    for _ in range(RUNS):
        inputs = tuple(_noise(port, random) for port in ports)
        assert loaded.run(inputs) == reference.run(inputs), f"model {index} differs"


def _noise(port: Port, random: Random) -> Tensor:
    count = ITEM_BYTES[port.dtype]
    for size in port.shape:
        count *= size
    return Tensor(dtype=port.dtype, shape=port.shape, data=random.randbytes(count))
