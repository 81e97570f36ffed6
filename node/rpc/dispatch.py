"""JSON-RPC 2.0 without a transport: bytes in, bytes out.

Parameters are checked against the annotations of the method before it runs.
Source: JSON-RPC 2.0 specification.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, get_type_hints

import msgspec
import trio

from node.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RpcError,
    invalid_params,
)

Method = Callable[..., Awaitable[Any]]

BATCH_MAX: Final = 64
"""Most requests in one batch."""

BATCH_ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
"""Longest answer to a batch; one request alone is bounded by what it asks for."""

METHOD_TIMEOUT_S: Final = 30.0
"""Longest time that one method may take."""

_log = logging.getLogger(__name__)


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    jsonrpc: str
    method: str
    params: list[Any] | dict[str, Any] = []
    id: int | str | msgspec.UnsetType | None = msgspec.UNSET


class Dispatcher:
    """Answers requests with a table of methods."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = {name: _Checked(method) for name, method in sorted(methods.items())}

    async def answer(self, data: bytes) -> bytes | None:
        """The response to a request or a batch of them; None if nobody waits for one."""
        try:
            document = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _encode(_failure(None, RpcError(PARSE_ERROR, "ParseError", "the request is not JSON")))
        if not isinstance(document, list):
            single = await self._answer_one(document)
            return None if single is None else _encode(single)
        if not 0 < len(document) <= BATCH_MAX:
            error = RpcError(INVALID_REQUEST, "InvalidRequest", f"a batch has 1 to {BATCH_MAX} requests")
            return _encode(_failure(None, error))
        return await self._answer_batch(document)

    async def _answer_batch(self, batch: list[Any]) -> bytes | None:
        """Every answer that somebody waits for, as long as they fit."""
        answers: list[bytes] = []
        size_bytes = 0
        for item in batch:
            answer = await self._answer_one(item)
            if answer is not None:
                answers.append(_encode(answer))
                size_bytes += len(answers[-1])
            if size_bytes > BATCH_ANSWER_BYTES_MAX:
                message = (
                    f"the answers have more than {BATCH_ANSWER_BYTES_MAX} bytes; ask for less at one time"
                )
                return _encode(_failure(None, RpcError(INVALID_REQUEST, "TooLong", message)))
        return b"[" + b",".join(answers) + b"]" if answers else None

    async def _answer_one(self, document: Any) -> dict[str, Any] | None:
        try:
            request = msgspec.convert(document, _Request)
        except msgspec.ValidationError as error:
            return _failure(None, RpcError(INVALID_REQUEST, "InvalidRequest", str(error)))
        is_notification = request.id is msgspec.UNSET
        try:
            result = await self._call(request)
        except RpcError as error:
            return None if is_notification else _failure(request.id, error)
        return None if is_notification else {"jsonrpc": "2.0", "id": request.id, "result": result}

    async def _call(self, request: _Request) -> Any:
        method = self._methods.get(request.method)
        if request.jsonrpc != "2.0":
            raise RpcError(INVALID_REQUEST, "InvalidRequest", "jsonrpc must be '2.0'")
        if method is None:
            message = f"no method '{request.method[:64]}'; rpc_methods lists them"
            raise RpcError(METHOD_NOT_FOUND, "MethodNotFound", message)
        try:
            with trio.fail_after(METHOD_TIMEOUT_S):
                return await method(request.params)
        except RpcError:
            raise
        except trio.TooSlowError:
            raise RpcError(INTERNAL_ERROR, "TooSlow", "the node took too long; try again") from None
        except Exception:  # noqa: BLE001  # the supervisor boundary of one request
            _log.exception("rpc method %s failed", request.method)
            raise RpcError(INTERNAL_ERROR, "InternalError", "the node failed; its log says why") from None


class _Checked:
    """A method whose parameters are converted to their annotated types first."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self._signature = inspect.signature(method)
        self._hints = get_type_hints(method, include_extras=True)

    async def __call__(self, params: list[Any] | dict[str, Any]) -> Any:
        try:
            if isinstance(params, list):
                bound = self._signature.bind(*params)
            else:
                bound = self._signature.bind(**params)
        except TypeError as error:
            wanted = ", ".join(self._signature.parameters) or "no parameters"
            raise invalid_params(f"{error}; the method takes {wanted}") from None
        for name, value in bound.arguments.items():
            try:
                bound.arguments[name] = msgspec.convert(value, self._hints[name])
            except msgspec.ValidationError as error:
                raise invalid_params(f"{name}: {error}") from None
        return await self._method(*bound.args, **bound.kwargs)


def _failure(identity: Any, error: RpcError) -> dict[str, Any]:
    body = {"code": error.code, "message": error.message, "data": {"name": error.name}}
    return {"jsonrpc": "2.0", "id": identity, "error": body}


def _encode(document: Any) -> bytes:
    return msgspec.json.encode(document)
