"""The way in and out for what is too large for JSON: blobs, as they are."""

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

FETCHED_BYTES_MAX: Final = 16 * 1024 * 1024
"""Longest blob that is given out: longer ones are models, and nobody reads them here."""

FETCH_TIMEOUT_S: Final = 25.0
"""Longest time to fetch a blob from peers: a client waits a little longer for its answer."""


class Blobs(Protocol):
    """Where blobs are put."""

    async def put(self, data: bytes, *, pinned: bool = False) -> BlobId:
        """Store a blob, durably on return; its id. Raises BlobError."""
        ...

    async def get(self, blob: BlobId, *, bytes_max: int = BLOB_BYTES_MAX) -> bytes:
        """The content of a blob, fetched from peers if it is not here. Raises BlobError."""
        ...


def blob_routes(blobs: Blobs) -> list[Route]:
    """`POST /blobs` with the bytes as application/octet-stream answers with the blob's id.

    `POST /blobs/0xID`, with nothing and as application/octet-stream too, answers with the bytes; who asks
    checks them by the id. One of each at a time, because they are held in memory. What is uploaded stays
    until it is removed by hand.
    """
    return [_upload_route(blobs), _fetch_route(blobs)]


def _fetch_route(blobs: Blobs) -> Route:
    turn = trio.CapacityLimiter(1)

    async def answer(request: Request) -> Response:
        refusal = refuse_foreign(request, "application/octet-stream")
        if refusal is not None:
            return refusal
        blob = _id_of(request.path_params["blob"])
        if blob is None:
            return PlainTextResponse("write the id of the blob as 0x and 64 digits", status_code=400)
        try:
            with trio.fail_after(FETCH_TIMEOUT_S):
                async with turn:
                    data = await blobs.get(blob, bytes_max=FETCHED_BYTES_MAX)
        except BlobError as error:
            return PlainTextResponse(str(error), status_code=404)
        except trio.TooSlowError:
            return PlainTextResponse("no peer gave the blob in time", status_code=504)
        return Response(data, media_type="application/octet-stream")

    return Route("/blobs/{blob}", answer, methods=["POST"])


def _id_of(text: str) -> BlobId | None:
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return None
    return BlobId(raw) if len(raw) == 32 else None


def _upload_route(blobs: Blobs) -> Route:
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
