"""onnxruntime on a model's int8 twin where it has one; and the faster of the two, as a trial shows.

The twin is proved equal before it is loaded, and its outputs are compared with the original's during the
trial.
"""

from collections.abc import Sequence
from math import inf
from random import Random
from time import perf_counter
from typing import Final

from inference.engines.interface import EngineError, LoadedModel
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.graph import Port, read
from inference.operators.registry import EXACT
from inference.refusal import Refused
from inference.tensor import ITEM_BYTES, Tensor
from inference.twin.derive import twin
from inference.twin.proof import Unequal, ensure_equal

TRIAL_S: Final = 0.1
"""A trial ends after this time, or after one round if that takes longer."""
TRIAL_ROUNDS_MAX: Final = 20
TRIAL_INPUTS: Final = 3


class TwinEngine:
    """Runs twins; a model that has none runs as it is."""

    def __init__(self, threads: int = 1) -> None:
        self._sessions = OnnxRuntimeEngine(threads)

    def load(self, model: bytes) -> LoadedModel:
        """Raises EngineError."""
        return self.twin_of(model) or self._sessions.load(model)

    def twin_of(self, model: bytes) -> LoadedModel | None:
        """The loaded twin, if there is one that is proved: a model with two equal nodes has a twin of which
        the proof does not see which is which. Raises EngineError."""
        derived = twin(model)
        if derived is None:
            return None
        try:
            ensure_equal(model, derived)
        except (Refused, Unequal):
            return None
        return self._sessions.load(derived)


class FasterEngine:
    """The original or its twin, whichever a short trial finds faster on this machine."""

    def __init__(self, originals: OnnxRuntimeEngine, twins: TwinEngine) -> None:
        self._originals = originals
        self._twins = twins

    def load(self, model: bytes) -> LoadedModel:
        """Raises EngineError, also if the two disagree, for then one of them is wrong."""
        original, other = self._originals.load(model), self._twins.twin_of(model)
        if other is None:
            return original
        return faster(original, other, read(model, EXACT).inputs)


def faster(original: LoadedModel, other: LoadedModel, ports: Sequence[Port]) -> LoadedModel:
    """The one with the shorter best time, over rounds in which they take turns. Raises EngineError if they
    disagree."""
    random = Random(0)
    trials = [tuple(_noise(port, random) for port in ports) for _ in range(TRIAL_INPUTS)]
    models, end = (original, other), perf_counter() + TRIAL_S
    best = [inf, inf]
    for turn in range(TRIAL_ROUNDS_MAX):
        answers = []
        for index, model in enumerate(models):
            start = perf_counter()
            answers.append(model.run(trials[turn % TRIAL_INPUTS]))
            best[index] = min(best[index], perf_counter() - start)
        if answers[0] != answers[1]:
            raise EngineError("the int8 twin and its original disagree on this machine")
        if perf_counter() > end:
            break
    return original if best[0] <= best[1] else other


def _noise(port: Port, random: Random) -> Tensor:
    size = ITEM_BYTES[port.dtype]
    for each in port.shape:
        size *= each
    return Tensor(dtype=port.dtype, shape=port.shape, data=random.randbytes(size))
