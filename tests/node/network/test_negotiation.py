import pytest
import trio
from trio.testing import memory_stream_pair

from node.network import negotiation
from node.network.negotiation import NegotiationFailed, ProtocolUnsupported

HEADER = b"\x13/multistream/1.0.0\n"


class Pipe:
    """One end of a connection in memory."""

    def __init__(self, stream: trio.StapledStream) -> None:  # type: ignore[type-arg]
        self.stream = stream

    async def read(self, n: int, /) -> bytes:
        return bytes(await self.stream.receive_some(n))

    async def write(self, data: bytes, /) -> None:
        await self.stream.send_all(data)


def pipes() -> tuple[Pipe, Pipe]:
    left, right = memory_stream_pair()
    return Pipe(left), Pipe(right)


async def test_both_ends_agree(nursery: trio.Nursery) -> None:
    dialer, listener = pipes()
    nursery.start_soon(negotiation.select, dialer, "/b")
    assert await negotiation.accept(listener, ("/a", "/b")) == "/b"


async def test_the_dialer_learns_that_a_protocol_is_unsupported(nursery: trio.Nursery) -> None:
    dialer, listener = pipes()

    async def listen() -> None:
        with pytest.raises(NegotiationFailed):
            await negotiation.accept(listener, ("/a",))

    nursery.start_soon(listen)
    with pytest.raises(ProtocolUnsupported):
        await negotiation.select(dialer, "/b")
    await dialer.stream.aclose()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00",
        b"\xff\xff\xff\xff\x0f",
        b"\x80\x02",
        b"\x04four",
        b"\x05fou\xff\n",
        b"\x0a/other/1.0\n",
        HEADER + b"\x03/x\n" * 8,
    ],
    ids=["empty", "huge", "long", "no newline", "not ascii", "other header", "endless proposals"],
)
async def test_a_listener_refuses(sent: bytes) -> None:
    dialer, listener = pipes()
    await dialer.write(sent)
    with pytest.raises(NegotiationFailed):
        await negotiation.accept(listener, ("/a",))


async def test_a_listener_refuses_a_dialer_that_leaves() -> None:
    dialer, listener = pipes()
    await dialer.stream.aclose()
    with pytest.raises((NegotiationFailed, trio.BrokenResourceError)):
        await negotiation.accept(listener, ("/a",))


async def test_a_dialer_refuses_another_protocol_than_it_asked_for() -> None:
    dialer, listener = pipes()
    await listener.write(HEADER + b"\x03/x\n")
    with pytest.raises(NegotiationFailed):
        await negotiation.select(dialer, "/b")
