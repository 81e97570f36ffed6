"""Every engine gives the same bits; `make conformance` runs the same through a real model server."""

from pathlib import Path

import pytest

from inference.engines.int8 import FasterEngine, TwinEngine
from inference.engines.interface import InferenceEngine
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.engines.remote import RemoteEngine, server_at
from tests.conformance.engines import ensure_conforming
from tests.inference.engines.protocol_server import serving

ENGINES: dict[str, InferenceEngine] = {
    "numpy": NumpyEngine(),
    "float32, not optimised": OnnxRuntimeEngine(1, Optimization.NONE),
    "float32": OnnxRuntimeEngine(),
    "float32, two threads": OnnxRuntimeEngine(2),
    "int8": TwinEngine(),
    "auto": FasterEngine(OnnxRuntimeEngine(), TwinEngine()),
}


@pytest.mark.parametrize("name", ENGINES)
def test_it_conforms(name: str) -> None:
    ensure_conforming(ENGINES[name], 5)


def test_a_server_conforms(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        ensure_conforming(RemoteEngine(server_at(server.url), tmp_path), 5)
