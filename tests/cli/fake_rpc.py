"""A node that answers JSON-RPC from a table, over real HTTP on loopback."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Refusal(Exception):
    """What a method raises to answer with an error."""

    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, "data": {"name": name}}


class FakeNode:
    """`methods` may be changed while it runs; `asked` is every (method, params) in order."""

    def __init__(self, methods: dict[str, Callable[..., Any]]) -> None:
        self.methods = methods
        self.asked: list[tuple[str, list[Any]]] = []
        self.raw: Callable[[Any], bytes] | None = None
        self.status = 200
        self.url = ""

    def store(self, data: bytes) -> bytes:
        """What is uploaded; this node takes nothing."""
        self.status = 507
        return b"the blob store is full; remove something, or raise its limit"

    def give(self, blob: str) -> bytes | None:
        """What is downloaded; this node has nothing."""
        return None

    def answer(self, request: Any) -> bytes:
        if self.raw is not None:
            return self.raw(request)
        name, params = request["method"], request["params"]
        self.asked.append((name, params))
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        if name not in self.methods:
            answer["error"] = Refusal(-32601, "MethodNotFound", f"no method '{name}'").error
        else:
            try:
                answer["result"] = self.methods[name](*params)
            except Refusal as refusal:
                answer["error"] = refusal.error
        return json.dumps(answer).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is what some tests are about."""


@contextmanager
def serving(node: FakeNode) -> Iterator[FakeNode]:
    """Serve `node` on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            given = node.give(self.path.removeprefix("/blobs/")) if "/blobs/" in self.path else b""
            if given is None:
                status, body = 404, b"no connected peer gives it"
            elif given:
                status, body = 200, given
            else:
                body = node.store(data) if self.path == "/blobs" else node.answer(json.loads(data))
                status = node.status
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Tests print nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    node.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield node
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
