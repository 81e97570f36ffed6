"""What nodes ask each other to find a validator, and the record in which a validator says where it is."""

from typing import Annotated, Final

from msgspec import Meta

from node.network.identity import ADDRESS_LENGTH_MAX, AddressError, PeerId, parse_address, parse_peer_id
from primitives.codec import Codec, Record
from primitives.hashing import domain
from primitives.signing import verify
from primitives.types import U63, Bytes32, Bytes64

PROTOCOL: Final = "/consilience/discovery/1"
CONTACTS_MAX: Final = 16
"""Contacts in one answer, and in one bucket: Kademlia's k."""

ADDRESSES_MAX: Final = 4
"""Addresses in one record: all that a member of the committee can have others dial."""

HOST_LENGTH_MAX: Final = 45
QUESTION_BYTES_MAX: Final = 4 * 1024
ANSWER_BYTES_MAX: Final = 16 * 1024

AddressText = Annotated[str, Meta(max_length=ADDRESS_LENGTH_MAX)]


class AuthorityClaims(Record, frozen=True):
    """What a session key says of its node."""

    genesis: Bytes32
    session_key: Bytes32
    peer_id: Annotated[str, Meta(max_length=52)]
    addresses: Annotated[tuple[AddressText, ...], Meta(min_length=1, max_length=ADDRESSES_MAX)]
    """Where it accepts connections; multiaddresses without the peer id."""

    sequence: U63
    """When it was signed, in milliseconds since 1970: the newest record counts, and an old one none."""


class AuthorityRecord(Record, frozen=True):
    """Claims and the session key's signature."""

    claims: AuthorityClaims
    signature: Bytes64


class FindNode(Record, frozen=True, tag=0):
    """Whom do you know that is near `target`?"""

    genesis: Bytes32
    target: Bytes32


class FindRecord(Record, frozen=True, tag=1):
    """What do you know of `session_key`? Contacts near it, and its record."""

    genesis: Bytes32
    session_key: Bytes32


class Store(Record, frozen=True, tag=2):
    """Keep this record."""

    genesis: Bytes32
    record: AuthorityRecord


Question = FindNode | FindRecord | Store


class Answer(Record, frozen=True):
    """The answer to every question."""

    seen_at: Annotated[str, Meta(max_length=HOST_LENGTH_MAX)]
    """The IP address from which the question came: how a node learns its own."""

    contacts: Annotated[tuple[AddressText, ...], Meta(max_length=CONTACTS_MAX)]
    """Multiaddresses with peer ids, of nodes that the answering one has reached itself."""

    record: AuthorityRecord | None


CLAIMS: Final[Codec[AuthorityClaims]] = Codec(AuthorityClaims)
QUESTION: Final[Codec[Question]] = Codec(Question)
ANSWER: Final[Codec[Answer]] = Codec(Answer)


def signed_message(claims: AuthorityClaims) -> bytes:
    """What the session key signs."""
    return domain("authority-record") + CLAIMS.encode(claims)


def is_sound(record: AuthorityRecord, genesis: bytes) -> bool:
    """Whether a record is of this chain, well-formed, and signed by the session key that it is about."""
    claims = record.claims
    try:
        parse_peer_id(claims.peer_id)
        places = [parse_address(text) for text in claims.addresses]
    except AddressError:
        return False
    if claims.genesis != genesis or not all(place.port and place.peer_id is None for place in places):
        return False
    return verify(claims.session_key, signed_message(claims), record.signature)


def peer_of(record: AuthorityRecord) -> PeerId:
    """The node of a sound record."""
    return PeerId(record.claims.peer_id)
