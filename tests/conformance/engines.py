"""What every engine must do: pass the self-test, and give the reference's bits on random exact models."""

from collections.abc import Iterator
from random import Random

from inference.engines.interface import InferenceEngine, LoadedModel
from inference.engines.reference import NumpyEngine
from inference.graph import Port, read
from inference.operators.registry import EXACT
from inference.prover import prove
from inference.refusal import Refused
from inference.selftest.trial import trouble
from inference.tensor import ITEM_BYTES, Tensor
from tests.inference.drawing import drawn
from tests.inference.twin.networks import network

RUNS = 4


def models(count: int) -> Iterator[bytes]:
    """So many networks for bytes, and what is proved of as many graphs of every operator."""
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
