"""Two hosts of py-libp2p connect on loopback: run as a program, it prints what one echoed to the other."""

import sys
from typing import Final

import trio
from libp2p import new_host
from libp2p.abc import IHost, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.peerinfo import PeerInfo
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

LOOPBACK: Final = Multiaddr("/ip4/127.0.0.1/tcp/0")
ECHO: Final = TProtocol("/test/echo/1")


def host_from(seed: bytes) -> IHost:
    """A host whose identity is the Ed25519 key of `seed`, over TCP, Noise and Yamux and nothing else."""
    identity = create_new_key_pair(seed)
    noise = NoiseTransport(identity, noise_privkey=create_noise_key_pair().private_key)
    return new_host(key_pair=identity, muxer_opt={TProtocol(YAMUX): Yamux}, sec_opt={TProtocol(NOISE): noise})


async def echo(stream: INetStream) -> None:
    await stream.write(await stream.read(5))
    await stream.close()


async def main() -> None:
    """Connect, send, print what came back."""
    left, right = host_from(b"l" * 32), host_from(b"r" * 32)
    right.set_stream_handler(ECHO, echo)
    with trio.fail_after(20):
        async with left.run([LOOPBACK]), right.run([LOOPBACK]):
            await left.connect(PeerInfo(right.get_id(), right.get_addrs()))
            stream = await left.new_stream(right.get_id(), [ECHO])
            await stream.write(b"hello")
            sys.stdout.write(f"{(await stream.read(5)).decode()}\n")
            await left.close()  # outside its context a host would leak its sockets
            await right.close()


if __name__ == "__main__":
    trio.run(main)
