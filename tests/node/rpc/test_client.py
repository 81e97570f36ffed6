"""The JSON-RPC client: what it returns, and how it survives servers that answer badly."""

import contextlib
import json
import socket
from collections.abc import Iterator
from threading import Thread

import pytest

from node.rpc import client as client_module
from node.rpc.client import BadAnswer, Refused, RpcClient, TooSlow, Unreachable
from tests.cli.fake_rpc import FakeNode, Refusal, serving


def refuse() -> None:
    raise Refusal(1000, "NonceTooLow", "the nonce is 3; 4 is next")


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with serving(FakeNode({"add": lambda a, b: a + b, "nothing": lambda: None, "refuse": refuse})) as fake:
        yield fake


def test_a_call_gives_its_result_over_one_kept_connection(node: FakeNode) -> None:
    with RpcClient(node.url) as client:
        assert [client.call("add", 1, 2), client.call("nothing"), client.call("add", "a", "b")] == [
            3,
            None,
            "ab",
        ]


def test_a_refusal_carries_code_and_name(node: FakeNode) -> None:
    with RpcClient(node.url) as client, pytest.raises(Refused) as caught:
        client.call("refuse")
    error = caught.value
    assert (error.code, error.name, error.message) == (1000, "NonceTooLow", "the nonce is 3; 4 is next")


def test_an_error_without_a_name_is_still_a_refusal(node: FakeNode) -> None:
    node.raw = lambda request: json.dumps(
        {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -1, "message": "no"}}
    ).encode()
    with RpcClient(node.url) as client, pytest.raises(Refused) as caught:
        client.call("add", 1, 2)
    assert caught.value.name == ""


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'"\xff"', b"[]", b"{}", b"[" * 100_000, b'{"id": "x", "result": 1}']
)
def test_what_is_no_answer_is_refused(node: FakeNode, body: bytes) -> None:
    node.raw = lambda _: body
    with RpcClient(node.url) as client, pytest.raises(BadAnswer):
        client.call("add", 1, 2)


def test_the_answer_to_another_question_is_refused(node: FakeNode) -> None:
    node.raw = lambda request: json.dumps({"jsonrpc": "2.0", "id": request["id"] + 1, "result": 3}).encode()
    with RpcClient(node.url) as client, pytest.raises(BadAnswer, match="another question"):
        client.call("add", 1, 2)


def test_an_http_error_shows_what_the_server_said(node: FakeNode) -> None:
    node.status = 503
    node.raw = lambda _: b"too many requests at one time"
    with RpcClient(node.url) as client, pytest.raises(BadAnswer, match="HTTP 503: too many requests"):
        client.call("add", 1, 2)


def test_an_endless_answer_is_cut(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER_BYTES_MAX", 1000)
    node.raw = lambda _: b" " * 200_000
    with RpcClient(node.url) as client, pytest.raises(BadAnswer, match="more than 1000 bytes"):
        client.call("add", 1, 2)


def test_nobody_there_says_how_to_start_a_node() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = RpcClient(f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(Unreachable, match="consil node run --dev"):
            client.call("add", 1, 2)


def test_neither_silence_nor_single_bytes_delay_the_end() -> None:
    def drip() -> None:
        silent, _ = listener.accept()
        dripping, _ = listener.accept()
        with silent, dripping, contextlib.suppress(OSError):
            dripping.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            while True:
                dripping.sendall(b" ")

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = Thread(target=drip)
        thread.start()
        with RpcClient(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.05) as client:
            for _ in range(2):
                with pytest.raises(TooSlow):
                    client.call("add", 1, 2)
        thread.join()


def test_a_connection_that_the_node_closed_is_opened_again(node: FakeNode) -> None:
    with RpcClient(node.url) as client:
        assert client.call("add", 1, 2) == 3
        client._connection.sock.shutdown(socket.SHUT_RDWR)
        assert client.call("add", 2, 2) == 4


@pytest.mark.parametrize(
    "url", ["", "localhost:9944", "ftp://a", "http://", "http://a:99999", "http://a:x", "http://u:p@a"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not the address of a node"):
        RpcClient(url)
