"""A JSON-RPC client for tools: synchronous, one connection, suspicious of whom it talks to.

It starts fast (the standard library's HTTP, nothing of trio or libp2p), and neither the size of an answer nor
the time until its last byte is the server's choice.
"""

import http.client
import socket
import time
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec

ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
"""Longest answer that is read: metadata and the largest block, in hexadecimal, many times over."""

TIMEOUT_S: Final = 30.0
"""Longest time for one answer, from the first byte sent to the last received."""

_PART_BYTES: Final = 64 * 1024


class ClientError(Exception):
    """No usable answer; the text says why and what to do."""


class Unreachable(ClientError):
    """Nobody answers at the address, or it stopped answering in the middle."""


class TooSlow(ClientError):
    """The answer was not complete in time."""


class BadAnswer(ClientError):
    """What came back is no answer to the request."""


class Refused(ClientError):
    """The node understood the request and says no."""

    def __init__(self, code: int, name: str, message: str) -> None:
        """`name` is stable, for programs; `message` is for people."""
        super().__init__(message)
        self.code = code
        self.name = name
        self.message = message


class _ErrorData(msgspec.Struct, frozen=True):
    name: str = ""


class _Error(msgspec.Struct, frozen=True):
    code: int
    message: str
    data: _ErrorData = _ErrorData()


_NO_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Answer(msgspec.Struct, frozen=True):
    id: int | None
    result: Any = None
    error: _Error | None = None


class _Stored(msgspec.Struct, frozen=True):
    blob: str


class RpcClient:
    """Asks one node; also a context manager that closes the connection."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        """`url`: `http://HOST[:PORT][/PATH]`. Raises ValueError for any other."""
        host, port, self._path = _split(url)
        self.url = url
        self._connection = _Connection(host, port)
        self._timeout_s = timeout_s
        self._count = 0

    def call(self, method: str, *params: Any) -> Any:
        """The result of `method`. Raises Refused for a no, and another ClientError for no usable answer."""
        self._count += 1
        request = {"jsonrpc": "2.0", "id": self._count, "method": method, "params": params}
        body = self._exchange(self._path, "application/json", msgspec.json.encode(request))
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except _NO_JSON as error:
            raise BadAnswer(f"what answers at {self.url} is no node ({error}): check the address") from None
        if answer.error is not None:
            raise Refused(answer.error.code, answer.error.data.name, answer.error.message)
        if answer.id != self._count:
            raise BadAnswer(f"the node at {self.url} answered another question than was asked: try again")
        return answer.result

    def upload(self, data: bytes) -> str:
        """Store `data` as a blob on the node; its id, `0x` and hexadecimal. Raises ClientError."""
        body = self._exchange("/blobs", "application/octet-stream", data)
        try:
            return msgspec.json.decode(body, type=_Stored).blob
        except _NO_JSON as error:
            raise BadAnswer(f"what answers at {self.url} is no node ({error}): check the address") from None

    def download(self, blob: str) -> bytes:
        """The blob with an id, `0x` and hexadecimal, as the node gives it, unchecked. Raises ClientError."""
        return self._exchange(f"/blobs/{blob}", "application/octet-stream", b"")

    def close(self) -> None:
        """Hang up; a later call connects again."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _exchange(self, path: str, kind: str, body: bytes) -> bytes:
        """The body of the answer. A kept connection that the node has closed meanwhile is opened again."""
        deadline = time.monotonic() + self._timeout_s
        kept = self._connection.sock is not None
        try:
            return self._post(path, kind, body, deadline)
        except TimeoutError:
            self.close()
            told = f"the node at {self.url} did not answer within {self._timeout_s:g} s"
            raise TooSlow(f"{told}: see its log, or try again") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if kept:
                return self._exchange(path, kind, body)
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            told = f"no node answers at {self.url} ({reason})"
            raise Unreachable(f"{told}: start one with `consil node run --dev`, or pass --rpc") from None

    def _post(self, path: str, kind: str, body: bytes, deadline: float) -> bytes:
        self._connection.deadline = deadline
        self._connection.request("POST", path, body, {"Content-Type": kind})
        response = self._connection.getresponse()
        data = bytearray()
        while part := response.read(_PART_BYTES):
            data += part
            if len(data) > ANSWER_BYTES_MAX:
                self.close()
                raise BadAnswer(
                    f"the node at {self.url} sent more than {ANSWER_BYTES_MAX} bytes: ask for less"
                )
        if response.status != http.client.OK:
            text = bytes(data[:200]).decode(errors="replace")
            raise BadAnswer(f"the node at {self.url} answered HTTP {response.status}: {text}")
        return bytes(data)


class _Connection(http.client.HTTPConnection):
    """A connection with one deadline for a whole answer, however slowly its bytes come."""

    deadline = 0.0

    def connect(self) -> None:
        """Raises OSError, TimeoutError."""
        plain = socket.create_connection((self.host, self.port), timeout=_left(self.deadline))
        self.sock = _Socket(self, plain)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Socket(socket.socket):
    """A socket of which every wait ends at the connection's deadline."""

    def __init__(self, connection: _Connection, plain: socket.socket) -> None:
        super().__init__(plain.family, plain.type, plain.proto, plain.detach())
        self._connection = connection

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(_left(self._connection.deadline))
        return super().recv_into(*arguments)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.settimeout(_left(self._connection.deadline))
        super().sendall(data, flags)


def _split(url: str) -> tuple[str, int, str]:
    """Host, port and path of `url`. Raises ValueError."""
    refusal = ValueError(f"'{url}' is not the address of a node: write http://HOST:PORT")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise refusal from None
    if parts.scheme != "http" or not host or parts.query or parts.fragment or parts.username:
        raise refusal
    return host, port or 80, parts.path or "/"


def _left(deadline: float) -> float:
    """Seconds until `deadline`. Raises TimeoutError if it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
