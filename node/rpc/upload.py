"""The way in for what is too large for JSON: a blob, posted as it is."""

from typing import Final, Protocol

import trio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from node.blobs.messages import BLOB_BYTES_MAX, BlobId
from node.blobs.store import BlobError
from node.rpc.server import read_body, refuse_foreign

UPLOAD_TIMEOUT_S: Final = 60.0
"""Longest time for one upload, which comes over loopback."""


class Blobs(Protocol):
    """Where blobs are put."""

    async def put(self, data: bytes, *, pinned: bool = False) -> BlobId:
        """Store a blob, durably on return; its id. Raises BlobError."""
        ...


def upload_route(blobs: Blobs) -> Route:
    """`POST /blobs` with the bytes as application/octet-stream; answers with the blob's id.

    One upload at a time, because each is held in memory; what is uploaded stays until it is removed by hand.
    """
    turn = trio.CapacityLimiter(1)

    async def answer(request: Request) -> Response:
        refusal = refuse_foreign(request, "application/octet-stream")
        if refusal is not None:
            return refusal
        async with turn:
            try:
                return await _store(request, blobs)
            except trio.TooSlowError:
                return PlainTextResponse("the upload took too long", status_code=408)
            except ClientDisconnect:
                return Response(status_code=400)

    return Route("/blobs", answer, methods=["POST"])


async def _store(request: Request, blobs: Blobs) -> Response:
    data = await read_body(request, BLOB_BYTES_MAX, UPLOAD_TIMEOUT_S)
    if data is None:
        return PlainTextResponse(f"a blob has at most {BLOB_BYTES_MAX} bytes", status_code=413)
    try:
        blob = await blobs.put(data, pinned=True)
    except BlobError as error:
        return PlainTextResponse(str(error), status_code=507)
    return JSONResponse({"blob": "0x" + blob.hex(), "sizeBytes": len(data)})
