"""Engines by their kind; only the libraries of the one that is asked for are loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.engines.interface import InferenceEngine
from inference.engines.kinds import EngineKind


@dataclass(frozen=True, slots=True)
class Chosen:
    """An engine, and those that it is made of: the self-test tries each."""

    engine: InferenceEngine
    tested: tuple[InferenceEngine, ...]


def alone(engine: InferenceEngine) -> Chosen:
    """An engine that is made of no others."""
    return Chosen(engine, (engine,))


def choose(kind: EngineKind, arguments: Sequence[str] = ()) -> Chosen:
    """The engine of a kind. A remote one has arguments: its URL and, if it has one, its repository."""
    match kind:
        case EngineKind.AUTO:
            from inference.engines.int8 import FasterEngine, TwinEngine
            from inference.engines.onnx_runtime import OnnxRuntimeEngine

            originals, twins = OnnxRuntimeEngine(), TwinEngine()
            return Chosen(FasterEngine(originals, twins), (originals, twins))
        case EngineKind.ONNXRUNTIME:
            from inference.engines.onnx_runtime import OnnxRuntimeEngine

            return alone(OnnxRuntimeEngine())
        case EngineKind.INT8:
            from inference.engines.int8 import TwinEngine

            return alone(TwinEngine())
        case EngineKind.NUMPY:
            from inference.engines.reference import NumpyEngine

            return alone(NumpyEngine())
        case EngineKind.REMOTE:
            from inference.engines.remote import RemoteEngine, server_at

            url, *repositories = arguments
            return alone(RemoteEngine(server_at(url), Path(repositories[0]) if repositories else None))
