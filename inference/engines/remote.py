"""A model server as an engine, over the Open Inference Protocol v2 (HTTP, JSON tensors).

KServe, Triton, MLServer and Ray Serve speak it. A model's name on the server is the BLAKE2b-256 of its
canonical file, in hexadecimal. A server that lacks a model is given it through a directory that it shares
with this machine, its *repository*, and told to load it. What it answers is bounded before it is read, and
checked against what was asked: what is no answer to that is an EngineError, never a result.
Source: kserve/open-inference-protocol, `specification/protocol/inference_rest.md`;
triton-inference-server/server, `docs/protocol/extension_model_repository.md`.
"""

import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import count
from math import prod
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec

from inference.engines.interface import EngineError
from inference.engines.kinds import Address, address_of
from inference.graph import PORTS_MAX, Port, read
from inference.operators.registry import EXACT
from inference.refusal import Refused
from inference.tensor import RANK_MAX, Tensor, TensorError, from_integers, integers
from primitives.hashing import blake2b_256

IMPLEMENTATION: Final = "exact_runtime.ExactRuntime"
"""The class that an MLServer runs exact models with: `examples/remote/exact_runtime.py`."""

_ELEMENT_BYTES_MAX: Final = 24
"""Most text of one integer in JSON, with what separates it from the next."""
_ANSWER_BYTES: Final = 64 * 1024
"""Text of an answer besides its integers."""

_HEADERS: Final = {"Content-Type": "application/json"}

_DATATYPES: Final = {
    "uint8": "UINT8",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
}

Kind = TypeVar("Kind")
Text = Annotated[str, msgspec.Meta(max_length=512)]
Shape = Annotated[list[int], msgspec.Meta(max_length=RANK_MAX)]


class Output(msgspec.Struct, frozen=True):
    """One tensor of an answer."""

    name: Text
    shape: Shape
    datatype: Text
    data: list[int]


class Answer(msgspec.Struct, frozen=True):
    """What `infer` returns."""

    model_name: Text
    outputs: Annotated[list[Output], msgspec.Meta(max_length=PORTS_MAX)]
    id: Text = ""


class Described(msgspec.Struct, frozen=True):
    """A port as the server describes it; a dimension of -1 stands for any size."""

    name: Text
    datatype: Text
    shape: Shape


class Metadata(msgspec.Struct, frozen=True):
    """What the server says of a model; it may leave out the ports."""

    name: Text
    inputs: Annotated[list[Described], msgspec.Meta(max_length=PORTS_MAX)] | None = None
    outputs: Annotated[list[Described], msgspec.Meta(max_length=PORTS_MAX)] | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """A server. One connection per request, so that nothing of one answer can reach another."""

    address: Address
    timeout_s: float
    """How long it may be silent; the deadline of a whole request is its caller's."""

    def ask(self, method: str, path: str, body: bytes | None, bytes_max: int) -> tuple[int, bytes]:
        """Status and body of a reply. Raises EngineError."""
        connection = self._connection()
        try:
            connection.request(method, f"{self.address.path}/v2/{path}", body, _HEADERS)
            response = connection.getresponse()
            data = response.read(bytes_max + 1)
            if len(data) > bytes_max:
                raise EngineError(f"the server answers with more than {bytes_max} bytes")
            if response.length:
                raise EngineError("the server's answer is cut short")
            return response.status, data
        except (OSError, HTTPException) as error:
            raise EngineError(f"the server at {self.address.host} fails: {_named(error)}") from None
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        host, port = self.address.host, self.address.port
        if self.address.is_secure:
            context = ssl.create_default_context()
            return HTTPSConnection(host, port, timeout=self.timeout_s, context=context)
        return HTTPConnection(host, port, timeout=self.timeout_s)


def server_at(url: str, timeout_s: float = 60.0) -> Server:
    """Raises ValueError as `address_of`."""
    return Server(address_of(url), timeout_s)


class RemoteEngine:
    """Models on one server; `repository` is the directory that it loads models from, if it can be given
    any."""

    def __init__(self, server: Server, repository: Path | None = None) -> None:
        self._server = server
        self._repository = repository

    def load(self, model: bytes) -> "RemoteModel":
        """Raises EngineError."""
        try:
            graph = read(model, EXACT)
        except Refused as refused:
            raise EngineError(str(refused)) from None
        name = blake2b_256(model).hex()
        if not self._is_ready(name):
            self._hand_over(name, model)
        loaded = RemoteModel(self._server, name, graph.inputs, graph.outputs)
        loaded.ensure_described()
        return loaded

    def _is_ready(self, name: str) -> bool:
        return self._server.ask("GET", f"models/{name}/ready", None, _ANSWER_BYTES)[0] == 200

    def _hand_over(self, name: str, model: bytes) -> None:
        """Give the server the model through its repository."""
        if self._repository is None:
            raise EngineError(
                f"the server has no model {name}, and there is no repository to give it through"
            )
        try:
            place(self._repository, name, model)
        except OSError as error:
            raise EngineError(f"the repository cannot be written: {_named(error)}") from None
        status, said = self._server.ask("POST", f"repository/models/{name}/load", b"{}", _ANSWER_BYTES)
        if status != 200 or not self._is_ready(name):
            raise EngineError(f"the server does not load the model {name}: {status} {_short(said)}")


def place(repository: Path, name: str, model: bytes) -> None:
    """Write a model as MLServer and Triton find it. Raises OSError."""
    directory = repository / name
    (directory / "1").mkdir(parents=True, exist_ok=True)
    settings = {"name": name, "implementation": IMPLEMENTATION, "parameters": {"uri": "./1/model.onnx"}}
    (directory / "1" / "model.onnx").write_bytes(model)
    (directory / "model-settings.json").write_text(json.dumps(settings))


class RemoteModel:
    """One model on the server."""

    def __init__(self, server: Server, name: str, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
        self._server = server
        self._name = name
        self._inputs = inputs
        self._outputs = {port.name: port for port in outputs}
        self._bytes_max = _ANSWER_BYTES + _ELEMENT_BYTES_MAX * sum(prod(port.shape) for port in outputs)
        self._requests = count()

    def ensure_described(self) -> None:
        """That the server's description fits the model, as far as it has one. Raises EngineError."""
        status, data = self._server.ask("GET", f"models/{self._name}", None, _ANSWER_BYTES)
        metadata = _decoded(data, Metadata, status)
        for ports, described in (
            (self._inputs, metadata.inputs),
            (self._outputs.values(), metadata.outputs),
        ):
            known = {each.name: each for each in described or []}
            for port in ports if known else ():
                if port.name not in known or not _fits(port, known[port.name]):
                    raise EngineError(f"the server describes another model: see {port.name!r}")

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Raises EngineError."""
        if [(each.dtype, each.shape) for each in inputs] != [
            (port.dtype, port.shape) for port in self._inputs
        ]:
            raise EngineError("the inputs do not fit the model")
        number = f"{self._name[:16]}-{next(self._requests)}"
        request = {
            "id": number,
            "inputs": [_sent(port, tensor) for port, tensor in zip(self._inputs, inputs, strict=True)],
            "outputs": [{"name": name} for name in self._outputs],
        }
        body = msgspec.json.encode(request)
        status, data = self._server.ask("POST", f"models/{self._name}/infer", body, self._bytes_max)
        answer = _decoded(data, Answer, status)
        if (answer.id, answer.model_name) != (number, self._name):
            raise EngineError("the server answers what was not asked")
        outputs = {output.name: output for output in answer.outputs}
        if len(outputs) != len(answer.outputs) or outputs.keys() != self._outputs.keys():
            raise EngineError("the server answers with other outputs than the model has")
        return tuple(_received(port, outputs[name]) for name, port in self._outputs.items())


def _sent(port: Port, tensor: Tensor) -> dict[str, object]:
    """An input as the protocol has it."""
    return {
        "name": port.name,
        "shape": list(port.shape),
        "datatype": _DATATYPES[port.dtype],
        "data": list(integers(tensor)),
    }


def _received(port: Port, output: Output) -> Tensor:
    """An output, if it is of the model's type and shape. Raises EngineError."""
    if (tuple(output.shape), output.datatype) != (port.shape, _DATATYPES[port.dtype]):
        raise EngineError(
            f"the server answers {output.datatype}{output.shape} for {port.name!r}, "
            f"not {_DATATYPES[port.dtype]}{list(port.shape)}"
        )
    try:
        return from_integers(port.dtype, port.shape, output.data)
    except TensorError as error:
        raise EngineError(f"the server's {port.name!r} is no tensor: {error}") from None


def _fits(port: Port, described: Described) -> bool:
    sizes = zip(described.shape, port.shape, strict=False)
    alike = len(described.shape) == len(port.shape) and all(there in (-1, here) for there, here in sizes)
    return alike and described.datatype == _DATATYPES[port.dtype]


def _decoded(data: bytes, kind: type[Kind], status: int) -> Kind:
    """The body of an answer that succeeded. Raises EngineError."""
    if status != 200:
        raise EngineError(f"the server answers {status}: {_short(data)}")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise EngineError(f"the server's answer makes no sense: {_named(error)}") from None


def _short(data: bytes) -> str:
    """The beginning of what a server says, printable."""
    text = data[:200].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
