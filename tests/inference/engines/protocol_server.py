"""A small server of the Open Inference Protocol v2 on a real socket: right, or wrong in one way."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from inference.engines.interface import LoadedModel
from inference.engines.reference import NumpyEngine
from inference.graph import Graph, read
from inference.operators.registry import EXACT
from inference.tensor import from_integers, integers

Answer = dict[str, Any]
Change = Callable[[Answer], Answer | bytes]
"""What becomes of a right answer to `infer`."""

NAMES = {"UINT8": "uint8", "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64"}
CODES = {name: code for code, name in NAMES.items()}


class ProtocolServer(ThreadingHTTPServer):
    """Serves the models of one directory that it was told to load."""

    daemon_threads = True

    def __init__(self, repository: Path, change: Change) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repository = repository
        self.change = change
        self.loads = True
        self.described = True
        self.models: dict[str, tuple[LoadedModel, Graph]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: ProtocolServer

    def do_GET(self) -> None:
        match self.path.strip("/").split("/"):
            case ["v2", "models", name, "ready"]:
                self._say(200 if name in self.server.models else 404, b"")
            case ["v2", "models", name] if name in self.server.models:
                self._say(200, json.dumps(self._description(name)).encode())
            case _:
                self._say(404, b'{"error": "not found"}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match self.path.strip("/").split("/"):
            case ["v2", "repository", "models", name, "load"] if self.server.loads:
                file = (self.server.repository / name / "1" / "model.onnx").read_bytes()
                self.server.models[name] = NumpyEngine().load(file), read(file, EXACT)
                self._say(200, b"")
            case ["v2", "models", name, "infer"] if name in self.server.models:
                answer = self.server.change(self._answer(name, json.loads(body)))
                self._say(200, answer if isinstance(answer, bytes) else json.dumps(answer).encode())
            case _:
                self._say(404, b'{"error": "not \x07found"}')

    def _description(self, name: str) -> Answer:
        graph = self.server.models[name][1]
        if not self.server.described:
            return {"name": name, "platform": "tests"}
        inputs, outputs = (
            [
                {"name": port.name, "datatype": CODES[port.dtype], "shape": [-1, *port.shape[1:]]}
                for port in ports
            ]
            for ports in (graph.inputs, graph.outputs)
        )
        return {"name": name, "platform": "tests", "inputs": inputs, "outputs": outputs}

    def _answer(self, name: str, request: Answer) -> Answer:
        model, graph = self.server.models[name]
        given = {each["name"]: each for each in request["inputs"]}
        tensors = [
            from_integers(NAMES[each["datatype"]], tuple(each["shape"]), each["data"])
            for each in (given[port.name] for port in graph.inputs)
        ]
        outputs = [
            {
                "name": port.name,
                "shape": list(output.shape),
                "datatype": CODES[output.dtype],
                "data": list(integers(output)),
            }
            for port, output in zip(graph.outputs, model.run(tensors), strict=True)
        ]
        return {"model_name": name, "id": request["id"], "outputs": outputs}

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""


@contextmanager
def serving(repository: Path, change: Change = lambda answer: answer) -> Iterator[ProtocolServer]:
    """A server that runs until the block ends."""
    server = ProtocolServer(repository, change)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
