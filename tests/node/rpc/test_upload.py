from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from node.blobs.messages import BlobId
from node.blobs.store import BlobError
from node.rpc.upload import upload_route


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


@pytest.fixture
def blobs() -> Memory:
    return Memory()


@pytest.fixture
async def client(blobs: Memory) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Starlette(routes=[upload_route(blobs)]))
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
