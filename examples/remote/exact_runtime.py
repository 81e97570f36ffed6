"""Runs exact models on an MLServer, for nodes that use it as their engine: see README.md.

Stands alone: MLServer's environment needs `mlserver`, `numpy` and `onnxruntime`, and nothing of this
repository.
"""

import os
from typing import Any

# Versions from 1.29 on otherwise tell their maker about the machine and its models.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor, ResponseOutput
from mlserver.utils import get_model_uri
from numpy.typing import NDArray

DATATYPES = {
    "tensor(uint8)": "UINT8",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
}


def described(port: onnxruntime.NodeArg) -> MetadataTensor:
    """A port as the protocol describes it."""
    return MetadataTensor(name=port.name, datatype=DATATYPES[port.type], shape=port.shape)


def answered(port: MetadataTensor, array: NDArray[Any]) -> ResponseOutput:
    """An output; not by NumpyCodec, which gives a tensor of one dimension a second one."""
    data = array.reshape(-1).tolist()
    return ResponseOutput(name=port.name, datatype=port.datatype, shape=list(array.shape), data=data)


class ExactRuntime(MLModel):  # type: ignore[misc] # MLServer is not installed where this is checked
    """One model in one onnxruntime session on the processor."""

    async def load(self) -> bool:
        self.session = onnxruntime.InferenceSession(
            await get_model_uri(self.settings), providers=["CPUExecutionProvider"]
        )
        self.inputs, self.outputs = (
            [described(port) for port in ports]
            for ports in (self.session.get_inputs(), self.session.get_outputs())
        )
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feed = {each.name: NumpyCodec.decode_input(each) for each in payload.inputs}
        arrays = self.session.run([port.name for port in self.outputs], feed)
        outputs = [answered(port, array) for port, array in zip(self.outputs, arrays, strict=True)]
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=outputs)
