"""The float model itself, run as it came, to compare with."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnx

from inference.converter.arithmetic import Reals
from inference.converter.network import Network
from inference.engines.interface import InferenceEngine, LoadedModel, from_array, to_array


@dataclass(frozen=True, slots=True)
class Original:
    """A float model, cut after its scores and, if it names one, its class."""

    model: LoadedModel
    network: Network

    def classify(self, row: Sequence[Fraction]) -> tuple[Reals, int]:
        """Scores and class of one sample; the class is the model's own where it computes one."""
        array = np.array([float(value) for value in row]).reshape(self.network.input_shape)
        outputs = self.model.run((from_array(array.astype(self.network.input_dtype)),))
        scores = to_array(outputs[0]).reshape(-1).astype(np.float64)
        if self.network.classes_name:
            return scores, int(to_array(outputs[1]).reshape(-1)[0])
        if self.network.single_score:
            return scores, int(scores[0] > 0)
        return scores, int(np.argmax(scores))


def cut(data: bytes, network: Network) -> bytes:
    """The file of the float model with its scores, and its class if it has one, as only outputs."""
    model = onnx.load_from_string(data)
    del model.graph.output[:]
    for name in (network.layers[-1].name, network.classes_name):
        if name:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    for port in model.graph.input:
        for dimension in port.type.tensor_type.shape.dim:
            if not dimension.HasField("dim_value"):
                dimension.dim_value = 1
    file: bytes = model.SerializeToString(deterministic=True)
    return file


def open_original(data: bytes, network: Network, engine: InferenceEngine) -> Original:
    """Raises EngineError."""
    return Original(engine.load(cut(data, network)), network)
