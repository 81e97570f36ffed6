import json
import socket
import struct
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import msgspec
import pytest
import trio

from node.rpc.dispatch import BATCH_MAX, Dispatcher
from node.rpc.errors import refused
from node.rpc.server import REQUEST_BYTES_MAX, HttpServer, PortInUse, rpc_route


async def add(first: int, second: Annotated[int, msgspec.Meta(ge=0)] = 1) -> int:
    return first + second


async def refuse() -> None:
    raise refused("NotToday", "come back tomorrow")


async def fail() -> None:
    raise ZeroDivisionError


DISPATCHER = Dispatcher({"add": add, "refuse": refuse, "fail": fail})


async def ask(document: Any) -> Any:
    answer = await DISPATCHER.answer(
        document if isinstance(document, bytes) else json.dumps(document).encode()
    )
    return None if answer is None else json.loads(answer)


def request(method: str, params: Any = (), identity: Any = 7) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}


async def test_a_method_is_called_by_position_and_by_name() -> None:
    assert await ask(request("add", [1, 2])) == {"jsonrpc": "2.0", "id": 7, "result": 3}
    assert (await ask(request("add", {"first": 1})))["result"] == 2


@pytest.mark.parametrize("params", [[], [1, 2, 3], ["1"], [1, -1], {"third": 1}, [1.5], [True]])
async def test_wrong_parameters_are_refused_before_the_method_runs(params: Any) -> None:
    error = (await ask(request("add", params)))["error"]
    assert error["code"] == -32602
    assert "first" in error["message"] or "second" in error["message"]
    assert "msgspec" not in error["message"]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"{", -32700),
        (b"[" * 100_000, -32700),
        (b'"\xff"', -32700),
        ([], -32600),
        ([1] * (BATCH_MAX + 1), -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "add"}, -32600),
        ({"jsonrpc": "2.0", "id": 1}, -32600),
        (7, -32600),
        (request("absent"), -32601),
        (request("refuse"), 1000),
        (request("fail"), -32603),
    ],
)
async def test_each_kind_of_refusal_has_its_code(document: Any, code: int) -> None:
    assert (await ask(document))["error"]["code"] == code


async def test_a_refusal_carries_its_name_and_our_bug_tells_nothing() -> None:
    assert (await ask(request("refuse")))["error"]["data"] == {"name": "NotToday"}
    assert "ZeroDivision" not in str(await ask(request("fail")))


async def test_a_batch_is_answered_in_order_and_notifications_are_not() -> None:
    silent = {"jsonrpc": "2.0", "method": "add", "params": [1]}
    answers = await ask([request("add", [1], 1), silent, request("add", [2], "b")])
    assert [(answer["id"], answer["result"]) for answer in answers] == [(1, 2), ("b", 3)]
    assert await ask(silent) is None
    assert await ask([silent]) is None


async def test_a_batch_whose_answers_are_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.rpc.dispatch.BATCH_ANSWER_BYTES_MAX", 100)
    assert len(await ask([request("add", [1, 2])] * 2)) == 2
    assert (await ask([request("add", [1, 2])] * 4))["error"]["data"] == {"name": "TooLong"}


@pytest.fixture
async def client(nursery: trio.Nursery) -> AsyncIterator[httpx.AsyncClient]:
    server = HttpServer([rpc_route(DISPATCHER)], 0, "--rpc-port")
    nursery.start_soon(server.run)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        yield http


async def test_a_request_is_served_over_http(client: httpx.AsyncClient) -> None:
    response = await client.post("/", json=request("add", [1, 2]))
    assert (response.status_code, response.json()["result"]) == (200, 3)
    assert (await client.post("/", json={"jsonrpc": "2.0", "method": "add"})).status_code == 204


async def test_what_a_web_page_could_send_is_refused(client: httpx.AsyncClient) -> None:
    body = json.dumps(request("add", [1, 2]))
    as_text = await client.post("/", content=body, headers={"content-type": "text/plain"})
    rebound = await client.post("/", json=request("add", [1, 2]), headers={"host": "attacker.example"})
    assert (as_text.status_code, rebound.status_code) == (415, 403)
    assert (await client.get("/")).status_code == 405


async def test_an_oversized_request_is_refused_and_the_server_lives_on(client: httpx.AsyncClient) -> None:
    body = b" " * (REQUEST_BYTES_MAX + 1)
    response = await client.post("/", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert (await client.post("/", json=request("add", [1]))).status_code == 200


WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 9\r\n\r\n"
)
H2C = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\n\r\n"
)


@pytest.mark.parametrize(
    "sent",
    [
        WEBSOCKET,
        H2C,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + bytes.fromhex("000000040000000000" + "00000408000000000300000064"),
        b"POST / HTTP/1.1\r\nHost: [::\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"\xff" * 300,
    ],
)
async def test_nothing_that_a_client_sends_ends_the_server_or_stays(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("node.rpc.server.GONE_S", 0.05)
    server = HttpServer([rpc_route(DISPATCHER)], 0, "--rpc-port")
    nursery.start_soon(server.run)
    for is_reset in (False, True) * 10:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        await stream.send_all(sent)
        if is_reset:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()
    with trio.fail_after(10):
        while server._connections:  # noqa: ASYNC110 - no event says when a connection is forgotten
            await trio.sleep(0.01)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        assert (await http.post("/", json=request("add", [1, 2]))).json()["result"] == 3
    nursery.cancel_scope.cancel()


async def test_what_hypercorn_raises_costs_one_connection(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does where a client resets a connection whose upgrade is being refused."""
    server = HttpServer([rpc_route(DISPATCHER)], 0, "--rpc-port")
    nursery.start_soon(server.run)

    async def raises(*_: object) -> None:
        raise LookupError("a bug of somebody else")

    with monkeypatch.context() as patched:
        patched.setattr("node.rpc.server.TCPServer.run", raises)
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            with trio.fail_after(10):
                assert await stream.receive_some() == b""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        assert (await http.post("/", json=request("add", [1, 2]))).json()["result"] == 3
    nursery.cancel_scope.cancel()


async def test_a_busy_port_is_named() -> None:
    first = HttpServer([], 0, "--rpc-port")
    with pytest.raises(PortInUse, match=f"{first.port}.*--rpc-port"):
        HttpServer([], first.port, "--rpc-port")
    first.close()
