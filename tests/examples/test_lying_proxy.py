"""The liar between a light client and an honest node: believed while it is honest, refused in every lie."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from examples.demo.lying_proxy import FORGERIES, lying_proxy
from node.light.client import LightClient, new_client
from node.rpc.client import RpcClient
from primitives.finality import BadProof, Flaw
from tests.node.light.test_verify import CHAIN, Server
from tests.primitives.chains import committee


@contextmanager
def serving(server: Server) -> Iterator[str]:
    """An honest node behind real HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            result = server.call(request["method"], *request["params"])
            body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture
def upstream() -> Iterator[str]:
    with serving(Server()) as url:
        yield url


def client_of(rpc: RpcClient) -> LightClient:
    return new_client(rpc, CHAIN.headers[0], committee(1))


def test_an_honest_proxy_is_believed(upstream: str) -> None:
    with lying_proxy(upstream, lambda answer: answer) as proxy, RpcClient(proxy) as rpc:
        assert client_of(rpc).read([b"alice"]).values == {b"alice": b"10"}


@pytest.mark.parametrize(
    ("what", "flaw"),
    [
        ("value", Flaw.WRONG_STATE),
        ("proof", Flaw.WRONG_STATE),
        ("certificate", Flaw.BAD_CERTIFICATE),
        ("header", Flaw.NOT_FINAL),
    ],
)
def test_a_forgery_is_refused_for_what_it_is(upstream: str, what: str, flaw: Flaw) -> None:
    with lying_proxy(upstream, FORGERIES[what]) as proxy, RpcClient(proxy) as rpc:
        client = client_of(rpc)
        assert client.sync() == CHAIN.headers[7]
        believed = client.belief
        with pytest.raises(BadProof) as refusal:
            client.read([b"alice"])
    assert refusal.value.flaw == flaw
    assert client.belief == believed


def test_everything_that_can_be_forged_was_tried() -> None:
    assert set(FORGERIES) == {"value", "proof", "certificate", "header"}
