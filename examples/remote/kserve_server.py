"""Runs exact models on KServe's own server: `python kserve_server.py DIRECTORY PORT`; see README.md.

DIRECTORY is where the node puts models. Stands alone: its environment needs `kserve`, `numpy` and
`onnxruntime`, and nothing of this repository. It listens on loopback alone.
"""

import os
import socket
import sys
from pathlib import Path

# Versions from 1.29 on otherwise tell their maker about the machine and its models.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelRepository
from kserve.model_server import DataPlane, ModelRepositoryExtension, RESTServer

DATATYPES = {
    "tensor(uint8)": "UINT8",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
}


def described(ports: list[onnxruntime.NodeArg]) -> list[dict[str, object]]:
    """Ports as the protocol describes them."""
    return [{"name": port.name, "datatype": DATATYPES[port.type], "shape": port.shape} for port in ports]


class ExactModel(Model):  # type: ignore[misc] # KServe is not installed where this is checked
    """One model in one onnxruntime session on the processor."""

    def __init__(self, name: str, file: Path) -> None:
        super().__init__(name)
        self.session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        self.ready = True

    def get_input_types(self) -> list[dict[str, object]]:
        return described(self.session.get_inputs())

    def get_output_types(self) -> list[dict[str, object]]:
        return described(self.session.get_outputs())

    def predict(self, payload: InferRequest, headers: dict[str, str] | None = None) -> InferResponse:
        ports = self.session.get_outputs()
        feed = {each.name: each.as_numpy() for each in payload.inputs}
        arrays = self.session.run([port.name for port in ports], feed)
        outputs = [
            InferOutput(port.name, list(array.shape), DATATYPES[port.type], array.reshape(-1).tolist())
            for port, array in zip(ports, arrays, strict=True)
        ]
        return InferResponse(payload.id, self.name, outputs)


class Directory(ModelRepository):  # type: ignore[misc] # as above
    """Loads the models that the node puts into a directory, as they are asked for."""

    def load(self, name: str) -> bool:
        self.update(ExactModel(name, Path(self.models_dir) / name / "1" / "model.onnx"))
        return True


def main() -> None:
    models, port = Directory(sys.argv[1]), int(sys.argv[2])
    server = RESTServer("kserve.model_server:app", DataPlane(models), ModelRepositoryExtension(models), port)
    server.run([socket.create_server(("127.0.0.1", port))])


if __name__ == "__main__":
    main()
