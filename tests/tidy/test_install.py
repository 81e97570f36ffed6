"""What `make setup` installed is what the lock says, and py-libp2p works with it (docs/decisions/0001)."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import trio
from libp2p import new_host
from libp2p.abc import IHost, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr
from nacl.signing import SigningKey

from tests.tidy.sources import ROOT

LOOPBACK: Final = Multiaddr("/ip4/127.0.0.1/tcp/0")
ECHO: Final = TProtocol("/test/echo/1")
LOCKS: Final = sorted((ROOT / "lock").glob("*.txt"))

USE_STAND_IN: Final = """
import fastecdsa, sys
assert fastecdsa.__file__.startswith(sys.path[1]), fastecdsa.__file__
import libp2p.crypto.key_exchange
from libp2p.crypto.ecc import ECCPublicKey, create_new_key_pair
for use in (lambda: create_new_key_pair("P-256"), lambda: ECCPublicKey.from_bytes(bytes(65), "P-256")):
    try:
        use()
    except NotImplementedError as refused:
        print(refused)
"""


def host_from(seed: bytes) -> IHost:
    """A host whose identity is the Ed25519 key of `seed`, over TCP, Noise and Yamux and nothing else."""
    identity = create_new_key_pair(seed)
    noise = NoiseTransport(identity, noise_privkey=create_noise_key_pair().private_key)
    return new_host(key_pair=identity, muxer_opt={TProtocol(YAMUX): Yamux}, sec_opt={TProtocol(NOISE): noise})


async def echo(stream: INetStream) -> None:
    await stream.write(await stream.read(5))
    await stream.close()


async def test_two_hosts_exchange_bytes_over_noise_and_yamux() -> None:
    left, right = host_from(b"l" * 32), host_from(b"r" * 32)
    right.set_stream_handler(ECHO, echo)
    with trio.fail_after(20):
        async with left.run([LOOPBACK]), right.run([LOOPBACK]):
            await left.connect(PeerInfo(right.get_id(), right.get_addrs()))
            stream = await left.new_stream(right.get_id(), [ECHO])
            await stream.write(b"hello")
            assert await stream.read(5) == b"hello"
            await left.close()  # outside its context a host would leak its sockets
            await right.close()


def test_peer_id_holds_the_public_key_that_libsodium_makes_of_the_seed() -> None:
    seed = bytes(range(32))
    peer = ID.from_pubkey(create_new_key_pair(seed).public_key)
    assert peer.to_bytes()[-32:] == SigningKey(seed).verify_key.encode()


def pins() -> dict[str, tuple[str, str]]:
    """Version and marker of every locked package."""
    found = re.findall(r"^([a-z0-9-]+)==(\S+)(.*)\\$", "\n".join(map(Path.read_text, LOCKS)), re.MULTILINE)
    return {name: (pinned, marker) for name, pinned, marker in found}


def test_every_pinned_version_is_the_installed_one() -> None:
    wrong = []
    for name, (pinned, marker) in pins().items():
        try:
            if version(name) != pinned:
                wrong.append((name, pinned, version(name)))
        except PackageNotFoundError:
            if not marker.strip():  # a marker leaves a package out on some machines
                wrong.append((name, pinned, "absent"))
    assert wrong == []


def test_lock_names_no_host_and_hashes_every_pin() -> None:
    for lock in LOCKS:
        entries = re.split(r"\n(?! )", lock.read_text().strip())
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
        assert "://" not in lock.read_text()
        assert "index" not in lock.read_text()


def test_without_fastecdsa_libp2p_loads_and_refuses_p256_keys(tmp_path: Path) -> None:
    (tmp_path / "fastecdsa").mkdir()
    shutil.copy(ROOT / "lock/fastecdsa_stand_in.py", tmp_path / "fastecdsa/__init__.py")
    program = f"import sys; sys.path.insert(1, {str(tmp_path)!r})\n{USE_STAND_IN}"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert (
        ended.stdout.splitlines()
        == ["P-256 keys are not supported: fastecdsa has no wheel for this machine"] * 2
    )
