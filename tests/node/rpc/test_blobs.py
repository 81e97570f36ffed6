from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from node.blobs.messages import BlobId
from node.blobs.store import BlobError
from node.rpc.blobs import FETCHED_BYTES_MAX, blob_routes


class Memory:
    """Blobs in a dictionary, with room for ten bytes."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    async def put(self, data: bytes, *, pinned: bool = False) -> BlobId:
        assert pinned
        if len(data) > 10:
            raise BlobError("the blob store is full: free some space")
        self.kept[b"id"] = data
        return BlobId(b"id")

    async def get(self, blob: BlobId, *, bytes_max: int = 0) -> bytes:
        assert bytes_max == FETCHED_BYTES_MAX
        if blob not in self.kept:
            raise BlobError("no connected peer gives it")
        return self.kept[blob]


@pytest.fixture
def blobs() -> Memory:
    return Memory()


@pytest.fixture
async def client(blobs: Memory) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Starlette(routes=blob_routes(blobs)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield http


OCTETS = {"content-type": "application/octet-stream"}


async def test_an_upload_is_stored_and_named(client: httpx.AsyncClient, blobs: Memory) -> None:
    response = await client.post("/blobs", content=b"model", headers=OCTETS)
    assert (response.status_code, response.json()) == (200, {"blob": "0x6964", "sizeBytes": 5})
    assert blobs.kept == {b"id": b"model"}


async def test_a_full_store_says_what_to_do(client: httpx.AsyncClient, blobs: Memory) -> None:
    response = await client.post("/blobs", content=b"x" * 11, headers=OCTETS)
    assert (response.status_code, response.text) == (507, "the blob store is full: free some space")
    assert blobs.kept == {}


async def test_a_web_page_cannot_upload(client: httpx.AsyncClient, blobs: Memory) -> None:
    response = await client.post("/blobs", content=b"x", headers={"content-type": "text/plain"})
    assert response.status_code == 415
    assert blobs.kept == {}


async def test_a_blob_is_given_out_by_its_id(client: httpx.AsyncClient, blobs: Memory) -> None:
    name = bytes(32)
    blobs.kept[name] = b"output"
    for spelled in (name.hex(), f"0x{name.hex()}"):
        response = await client.post(f"/blobs/{spelled}", headers=OCTETS)
        assert (response.status_code, response.content) == (200, b"output")


async def test_what_nobody_has_or_is_no_id_is_said(client: httpx.AsyncClient) -> None:
    missing = await client.post(f"/blobs/0x{'01' * 32}", headers=OCTETS)
    assert (missing.status_code, missing.text) == (404, "no connected peer gives it")
    for name in ("0x00", "nonsense"):
        assert (await client.post(f"/blobs/{name}", headers=OCTETS)).status_code == 400


async def test_a_web_page_cannot_fetch(client: httpx.AsyncClient, blobs: Memory) -> None:
    blobs.kept[bytes(32)] = b"output"
    response = await client.post(f"/blobs/{bytes(32).hex()}", headers={"content-type": "text/plain"})
    assert response.status_code == 415
