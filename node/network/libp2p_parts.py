"""The door to py-libp2p 0.8.1: Noise, Yamux and what they need, without the rest.

The `__init__` files of these packages load every protocol that py-libp2p has: 35 MB and half a second for
each node. So their parts are imported as if the packages were empty. The version is pinned; a test tries this
door.
"""

import sys
from importlib.util import find_spec
from types import ModuleType


def _enter(package: str) -> None:
    """Make the modules of `package` importable without running its `__init__`."""
    if package in sys.modules:
        return
    spec = find_spec(package)
    assert spec is not None
    module = ModuleType(package)
    module.__spec__ = spec
    module.__path__ = spec.submodule_search_locations or []
    sys.modules[package] = module


for _package in ("libp2p", "libp2p.network", "libp2p.security", "libp2p.transport"):
    _enter(_package)

# ruff: noqa: E402 - the packages must be entered before anything is imported from them
from libp2p.abc import ISecureConn
from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError, IncompleteReadError
from libp2p.io.utils import read_exactly
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.security.noise.exceptions import PeerIDMismatchesPubkey
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamError
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream
from noise.exceptions import NoiseInvalidMessage  # type: ignore[import-untyped]  # published without types

__all__ = [
    "ID",
    "NOISE_PROTOCOL",
    "BaseLibp2pError",
    "ConnectionClosedError",
    "Ed25519PrivateKey",
    "ISecureConn",
    "IncompleteReadError",
    "KeyPair",
    "MuxedConnUnavailable",
    "MuxedStreamError",
    "Noise",
    "NoiseInvalidMessage",
    "PeerIDMismatchesPubkey",
    "RawConnection",
    "ReadWriteCloser",
    "Yamux",
    "YamuxStream",
    "new_noise_key",
    "read_exactly",
    "yamux",
]
