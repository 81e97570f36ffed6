"""A server between a light client and a node that forges what passes through it, one thing at a time."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final, TypeVar

import msgspec

from node.light.messages import PROVED_READ, ProvedEntry, ProvedRead
from node.rpc.client import RpcClient
from primitives.types import Hash, Signature

R = TypeVar("R", bound=msgspec.Struct)
Forgery = Callable[[ProvedRead], ProvedRead]

_REQUEST_BYTES_MAX: Final = 1 << 20


def forge_value(answer: ProvedRead) -> ProvedRead:
    """Another value under the first key, with the true proof."""
    entry = answer.entries[0]
    return _with_first(answer, _replace(entry, value=_flipped(entry.value or b"\x00")))


def forge_proof(answer: ProvedRead) -> ProvedRead:
    """The true value, with another way to the root."""
    entry = answer.entries[0]
    first, *others = entry.proof.siblings
    proof = _replace(entry.proof, siblings=(Hash(_flipped(first)), *others))
    return _with_first(answer, _replace(entry, proof=proof))


def forge_certificate(answer: ProvedRead) -> ProvedRead:
    """A certificate with a signature that nobody made."""
    certificate = answer.finality.certificate
    first, *others = certificate.signatures
    forged = _replace(certificate, signatures=(Signature(_flipped(first)), *others))
    return _replace(answer, finality=_replace(answer.finality, certificate=forged))


def forge_header(answer: ProvedRead) -> ProvedRead:
    """A header with another state root, under the true certificate."""
    first, *others = answer.finality.headers
    forged = _replace(first, state_root=Hash(_flipped(first.state_root)))
    return _replace(answer, finality=_replace(answer.finality, headers=(forged, *others)))


FORGERIES: Final[dict[str, Forgery]] = {
    "value": forge_value,
    "proof": forge_proof,
    "certificate": forge_certificate,
    "header": forge_header,
}


@contextmanager
def lying_proxy(upstream: str, forgery: Forgery) -> Iterator[str]:
    """The address of a proxy for the node at `upstream` that forges every proved read."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Forward one JSON-RPC request and forge its result."""
            size = min(int(self.headers.get("content-length", 0)), _REQUEST_BYTES_MAX)
            request = json.loads(self.rfile.read(size))
            with RpcClient(upstream) as client:
                result = _forged(client.call(request["method"], *request["params"]), request, forgery)
            body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: the demonstration tells the story."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _forged(result: Any, request: dict[str, Any], forgery: Forgery) -> Any:
    if request["method"] != "light_readProof":
        return result
    return "0x" + PROVED_READ.encode(forgery(PROVED_READ.decode(bytes.fromhex(result[2:])))).hex()


def _with_first(answer: ProvedRead, entry: ProvedEntry) -> ProvedRead:
    return _replace(answer, entries=(entry, *answer.entries[1:]))


def _replace(record: R, **changes: Any) -> R:
    return msgspec.structs.replace(record, **changes)


def _flipped(data: bytes) -> bytes:
    """`data` with its last bit flipped."""
    return data[:-1] + bytes([data[-1] ^ 1])
