"""The errors of the RPC: stable codes, names that programs compare, texts that people read."""

from typing import Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
REFUSED: Final = 1000
"""The request was understood and is not granted: `name` says why."""

UNAVAILABLE: Final = 1001
"""This node cannot answer now or keeps no such data; another node, or a later try, may."""


class RpcError(Exception):
    """An answer that says no."""

    def __init__(self, code: int, name: str, message: str) -> None:
        """`name` is stable; `message` is for people."""
        super().__init__(message)
        self.code = code
        self.name = name
        self.message = message


def refused(name: str, message: str) -> RpcError:
    """The caller's request is wrong or not allowed."""
    return RpcError(REFUSED, name, message)


def unavailable(name: str, message: str) -> RpcError:
    """This node does not have what was asked for."""
    return RpcError(UNAVAILABLE, name, message)


def invalid_params(message: str) -> RpcError:
    """A parameter is missing, superfluous or of a wrong type."""
    return RpcError(INVALID_PARAMS, "InvalidParams", message)
