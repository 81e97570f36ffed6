"""What two nodes tell each other first, and then once a second: who they are and how far they have come.

The dialer opens `/consilience/hello/1`, sends Hello and receives one; then both send Status on the same
stream until the connection ends. A validator's Hello proves that the holder of its session key stands
behind its peer id.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Protocol

from msgspec import Meta

from node.network.identity import ADDRESS_LENGTH_MAX, PeerId
from primitives.codec import Codec, Record
from primitives.hashing import domain
from primitives.signing import verify
from primitives.types import U16, U63, Bytes32, Bytes64

PROTOCOL: Final = "/consilience/hello/1"
VERSION: Final = 1
"""Version of all protocols of the network together."""

FRAME_BYTES_MAX: Final = 16 * 1024
ADDRESSES_MAX: Final = 32
"""Addresses of others that one Status may carry."""

REASON_LENGTH_MAX: Final = 200


class Role(StrEnum):
    """What a node is on its network."""

    AUTHORITY = "authority"
    """It has a session key and may vote."""

    FULL = "full"


class Refusal(StrEnum):
    """Why a node does not want a connection; the other side is told."""

    WRONG_GENESIS = "wrong genesis"
    WRONG_VERSION = "wrong protocol version"
    BAD_SESSION_PROOF = "bad session key proof"
    MALFORMED = "malformed hello"
    BANNED = "banned"
    FULL = "no free slot"
    DUPLICATE = "already connected"
    SILENT = "silent"
    STALLED = "takes no data"
    STOPPING = "stopping"


class Refused(Exception):
    """The connection is not wanted, by us or by the peer."""

    def __init__(self, reason: str, *, by_peer: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.by_peer = by_peer


class SessionSigner(Protocol):
    """What signs for the session key; the key may live in another process."""

    @property
    def public_key(self) -> bytes: ...

    def sign(self, message: bytes, /) -> bytes: ...


class Hello(Record, frozen=True, tag=0):
    """The first frame in each direction."""

    genesis: Bytes32
    version: U16
    role: Role
    finalized_height: U63
    listen_port: U16
    """Where this node accepts connections, at the address it is seen at; 0 if nowhere."""

    session_key: Bytes32 | None
    session_proof: Bytes64 | None
    """Signature of `proof_message` by the session key; an authority must have one."""


class SessionProof(Record, frozen=True):
    """A session key, and its word that it stands behind the sender."""

    key: Bytes32
    proof: Bytes64
    """Signature of `proof_message`."""


class Status(Record, frozen=True, tag=1):
    """Sign of life, sent once a second and when something changed."""

    finalized_height: U63
    addresses: Annotated[
        tuple[Annotated[str, Meta(max_length=ADDRESS_LENGTH_MAX)], ...], Meta(max_length=ADDRESSES_MAX)
    ]
    """Multiaddresses of other nodes; empty when they have not changed since the last time."""

    session: SessionProof | None = None
    """The session key that the sender votes with; None when it has not changed since the last time."""


class Goodbye(Record, frozen=True, tag=2):
    """The sender is about to close the connection."""

    reason: Annotated[str, Meta(max_length=REASON_LENGTH_MAX)]


Message = Hello | Status | Goodbye
MESSAGES: Final[Codec[Message]] = Codec(Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalHello:
    """What this node says of itself."""

    peer_id: PeerId
    genesis: Bytes32
    role: Role
    signer: SessionSigner | None

    def at(self, finalized_height: int, listen_port: int) -> Hello:
        """The Hello to send now."""
        return Hello(
            genesis=self.genesis,
            version=VERSION,
            role=self.role,
            finalized_height=finalized_height,
            listen_port=listen_port,
            session_key=self.signer.public_key if self.signer else None,
            session_proof=self.signer.sign(proof_message(self.genesis, self.peer_id))
            if self.signer
            else None,
        )


def proof_message(genesis: bytes, peer_id: PeerId) -> bytes:
    """What a session key signs, so that the proof is worth nothing on another chain or for another node."""
    return domain("session-proof") + genesis + peer_id.encode("ascii")


def prove_session(signer: SessionSigner, genesis: bytes, peer_id: PeerId) -> SessionProof:
    """What shows that the holder of a session key stands behind `peer_id`."""
    return SessionProof(signer.public_key, signer.sign(proof_message(genesis, peer_id)))


def verify_session(session: SessionProof, genesis: bytes, peer_id: PeerId) -> bool:
    """Whether the holder of the key stands behind `peer_id`."""
    return verify(session.key, proof_message(genesis, peer_id), session.proof)


def verify_hello(hello: Hello, genesis: bytes, peer_id: PeerId) -> None:
    """Raises Refused unless `hello` is of this chain and version and its claims are proven."""
    if hello.genesis != genesis:
        raise Refused(Refusal.WRONG_GENESIS)
    if hello.version != VERSION:
        raise Refused(Refusal.WRONG_VERSION)
    if hello.session_key is None:
        proven = hello.session_proof is None and hello.role != Role.AUTHORITY
    else:
        message = proof_message(genesis, peer_id)
        proven = hello.session_proof is not None and verify(hello.session_key, message, hello.session_proof)
    if not proven:
        raise Refused(Refusal.BAD_SESSION_PROOF)
