"""The remote engine against a server on a real socket: right answers pass, all others are errors."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from inference.engines.interface import EngineError, run
from inference.engines.kinds import Address
from inference.engines.reference import NumpyEngine
from inference.engines.remote import RemoteEngine, Server, server_at
from inference.graph import Port
from inference.prover import prove
from inference.selftest.trial import trouble
from inference.tensor import Tensor, from_integers
from primitives.hashing import blake2b_256
from tests.inference.build import two_layers
from tests.inference.engines.protocol_server import Answer, Change, ProtocolServer, serving

MODEL = prove(two_layers()).canonical
NAME = blake2b_256(MODEL).hex()
X = (from_integers("int8", (1, 3), (5, -7, 100)),)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProtocolServer]:
    with serving(tmp_path) as server:
        yield server


def engine(server: ProtocolServer) -> RemoteEngine:
    return RemoteEngine(server_at(server.url, timeout_s=5.0), server.repository)


def test_the_server_gives_the_same_bits(server: ProtocolServer) -> None:
    model = engine(server).load(MODEL)
    assert model.run(X) == run(NumpyEngine(), MODEL, X)
    assert list(server.models) == [NAME]


def test_the_self_test_passes_through_the_server(server: ProtocolServer) -> None:
    assert trouble(engine(server)) is None


def test_what_the_server_has_needs_no_repository(server: ProtocolServer) -> None:
    engine(server).load(MODEL)
    alone = RemoteEngine(server_at(server.url))
    assert run(alone, MODEL, X) == run(NumpyEngine(), MODEL, X)


def test_a_server_need_not_describe_its_models(server: ProtocolServer) -> None:
    server.described = False
    assert run(engine(server), MODEL, X) == run(NumpyEngine(), MODEL, X)


def test_a_model_that_the_server_lacks_is_an_error(server: ProtocolServer) -> None:
    with pytest.raises(EngineError, match=f"no model {NAME}, and there is no repository"):
        RemoteEngine(server_at(server.url)).load(MODEL)
    server.loads = False
    with pytest.raises(EngineError, match=r'does not load the model .* 404 {"error": "not  found"}'):
        engine(server).load(MODEL)


def test_a_repository_that_cannot_be_written_is_an_error(server: ProtocolServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EngineError, match="repository cannot be written"):
        RemoteEngine(server_at(server.url), tmp_path / "file").load(MODEL)


def test_no_server_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(EngineError, match="fails: ConnectionRefusedError"):
        RemoteEngine(server_at(f"http://127.0.0.1:{port}"), tmp_path).load(MODEL)


def test_a_silent_server_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = server_at(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.05)
        with pytest.raises(EngineError, match="fails: TimeoutError"):
            RemoteEngine(server).load(MODEL)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", b"\0" * 100_000])
def test_a_server_that_does_not_speak_http_is_an_error(said: bytes) -> None:
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, args=(listener,))
        thread.start()
        try:
            with pytest.raises(EngineError, match=r"fails: |cut short"):
                RemoteEngine(server_at(f"http://127.0.0.1:{listener.getsockname()[1]}")).load(MODEL)
        finally:
            thread.join()


@pytest.mark.parametrize(
    "url", ["", "localhost:80", "ftp://host", "http://", "http://host/?a=b", "file:///a"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of a model server: write http://HOST:PORT"):
        server_at(url)


def test_addresses_may_have_a_path() -> None:
    expected = Server(Address("models.example", 443, "/team/a", is_secure=True), timeout_s=9.0)
    assert server_at("https://models.example/team/a/", timeout_s=9.0) == expected


def changed(**fields: Any) -> Change:
    return lambda answer: answer | fields


def first(**fields: Any) -> Change:
    """Of the first output."""
    return lambda answer: answer | {"outputs": [answer["outputs"][0] | fields, *answer["outputs"][1:]]}


def swapped(answer: Answer) -> Answer:
    one, other = answer["outputs"]
    return answer | {"outputs": [one | {"name": other["name"]}, other | {"name": one["name"]}]}


WRONG: dict[str, tuple[Change, str]] = {
    "another id": (changed(id="1"), "answers what was not asked"),
    "no id": (changed(id=""), "answers what was not asked"),
    "another model": (changed(model_name="other"), "answers what was not asked"),
    "no outputs": (changed(outputs=[]), "other outputs"),
    "an output twice": (lambda each: each | {"outputs": each["outputs"] * 2}, "other outputs"),
    "one output": (lambda each: each | {"outputs": each["outputs"][:1]}, "other outputs"),
    "swapped": (swapped, "answers INT64"),
    "another shape": (first(shape=[2, 1]), "answers INT32"),
    "a shape too large": (first(shape=[1] * 99), "makes no sense"),
    "another type": (first(datatype="INT64"), "answers INT64"),
    "floats": (first(data=[1.5, 2.0]), "makes no sense"),
    "booleans": (first(data=[True, False]), "makes no sense"),
    "not a number": (first(data=[float("nan"), 1]), "makes no sense"),
    "text": (first(data="AAAA"), "makes no sense"),
    "nested": (first(data=[[1, 2]]), "makes no sense"),
    "too few": (first(data=[1]), "no tensor"),
    "too many": (first(data=[1, 2, 3]), "no tensor"),
    "out of range": (first(data=[2**31, 0]), "no tensor"),
    "beyond integers": (first(data=[10**40, 0]), "no tensor"),
    "not json": (lambda each: b"<html>", "makes no sense"),
    "too deep": (lambda each: b"[" * 60_000, "makes no sense"),
    "too long": (lambda each: json.dumps(each).encode() + b" " * 100_000, "answers with more than"),
    "nothing": (lambda each: b"", "makes no sense"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_an_error(name: str, server: ProtocolServer) -> None:
    model = engine(server).load(MODEL)
    server.change, reason = WRONG[name]
    with pytest.raises(EngineError, match=reason):
        model.run(X)


def test_stale_answers_are_errors(server: ProtocolServer) -> None:
    answers: list[Answer] = []

    def stale(answer: Answer) -> Answer:
        answers.append(answer)
        return answers[0]

    server.change = stale
    model = engine(server).load(MODEL)
    model.run(X)
    with pytest.raises(EngineError, match="answers what was not asked"):
        model.run(X)


def test_inputs_that_do_not_fit_are_not_sent(server: ProtocolServer) -> None:
    model = engine(server).load(MODEL)
    for inputs in ((), (X[0], X[0]), (Tensor(dtype="int8", shape=(3,), data=b"abc"),)):
        with pytest.raises(EngineError, match="do not fit"):
            model.run(inputs)


def test_a_server_that_describes_another_model_is_an_error(server: ProtocolServer) -> None:
    engine(server).load(MODEL)
    model, graph = server.models[NAME]
    server.models[NAME] = model, replace(graph, inputs=(Port("x", "uint8", (1, 3)),))
    with pytest.raises(EngineError, match="describes another model: see 'x'"):
        engine(server).load(MODEL)


def test_a_file_that_is_no_model_is_an_error(server: ProtocolServer) -> None:
    with pytest.raises(EngineError):
        engine(server).load(b"no model")
