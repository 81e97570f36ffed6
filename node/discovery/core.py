"""The distributed table in which validators are found, as Kademlia: contacts, records, lookups. Pure.

Positions are hashes of peer ids and of session keys; the distance of two is their exclusive or. Each node
knows many that are near it and a few in every farther half of the space, so that each answer halves the way.

Nothing is believed: a contact counts once it was reached, an old one is never pushed out by a new one, a
record is checked before it is kept or used, and whoever names contacts that do not exist is asked no more.
Source: Maymounkov and Mazieres, "Kademlia" (2002), section 2; Baumgart and Mies, "S/Kademlia" (2007).
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from typing import Final

from node.discovery.messages import CONTACTS_MAX, AuthorityRecord, is_sound
from node.network.identity import Address, PeerId, Scope, scope_of
from primitives.hashing import blake2b_256, domain

POSITION_BITS: Final = 256
BUCKET_MAX: Final = CONTACTS_MAX
SPARES_MAX: Final = 8
"""Newcomers that wait for a place in a full bucket."""

FAILURES_MAX: Final = 2
"""A contact that did not answer so many times in a row gives its place to a spare."""

NEIGHBOURS_MAX: Final = 2
"""Contacts of one bucket, and of one lookup's nearest, from one IPv4 /24 or IPv6 /48: peer ids are free,
networks are not."""

ALPHA: Final = 3
"""Questions of one lookup under way at once."""

QUESTIONS_MAX: Final = 64
"""Questions of one lookup in all; in a network of a million nodes an honest one takes about forty."""

CANDIDATES_MAX: Final = 128
FALSE_CONTACTS_MAX: Final = 5
"""After so many contacts of one node that did not answer, those that nobody else names are not tried."""

RECORDS_WANTED: Final = 2
"""A lookup for a record ends when so many nodes gave one; the newest counts."""

RECORD_AGE_MAX_MS: Final = 3_600_000
"""An older record is not kept, given or used: its validator publishes a new one every few minutes."""

CLOCKS_DIFFER_MS: Final = 600_000
"""A record may come from a clock that is ahead by this."""


@lru_cache(maxsize=4096)
def position_of_peer(peer_id: PeerId) -> int:
    """Where a node is in the table."""
    return _position("discovery-peer", peer_id.encode("ascii"))


def position_of_key(session_key: bytes) -> int:
    """Where the record of a session key is."""
    return _position("discovery-key", session_key)


def _position(kind: str, name: bytes) -> int:
    return int.from_bytes(blake2b_256(domain(kind) + name), "big")


@lru_cache(maxsize=4096)
def _neighbourhood(host: str) -> str | None:
    """Addresses that one owner gets together; None where that says nothing, on a local network."""
    if scope_of(host) != Scope.GLOBAL:
        return None
    address = ipaddress.ip_address(host)
    rest = 8 if address.version == 4 else 80
    return f"{address.version}/{int(address) >> rest}"


@dataclass(slots=True)
class _Bucket:
    """Contacts at one distance, the one known longest first, and those who wait."""

    contacts: dict[PeerId, Address] = field(default_factory=dict)
    spares: dict[PeerId, Address] = field(default_factory=dict)


class RoutingTable:
    """The contacts of one node."""

    def __init__(self, own: PeerId) -> None:
        self._own = own
        self._position = position_of_peer(own)
        self._buckets: dict[int, _Bucket] = {}
        self._failures: dict[PeerId, int] = {}

    def reached(self, contact: Address) -> None:
        """A node answered at this address. It is kept if there is room; nobody gives way to it."""
        peer_id = contact.peer_id
        assert peer_id is not None
        if peer_id == self._own:
            return
        bucket = self._buckets.setdefault(self._index(peer_id), _Bucket())
        self._failures.pop(peer_id, None)
        if peer_id in bucket.contacts:
            bucket.contacts[peer_id] = contact
        elif len(bucket.contacts) < BUCKET_MAX and not _is_crowded(bucket.contacts.values(), contact):
            bucket.spares.pop(peer_id, None)
            bucket.contacts[peer_id] = contact
        else:
            bucket.spares[peer_id] = contact
            if len(bucket.spares) > SPARES_MAX:
                del bucket.spares[next(iter(bucket.spares))]

    def failed(self, peer_id: PeerId) -> None:
        """A contact did not answer."""
        bucket = self._buckets.get(self._index(peer_id))
        if bucket is None or peer_id not in bucket.contacts:
            return
        self._failures[peer_id] = self._failures.get(peer_id, 0) + 1
        if self._failures[peer_id] < FAILURES_MAX:
            return
        del bucket.contacts[peer_id], self._failures[peer_id]
        for spare, contact in list(bucket.spares.items()):
            if not _is_crowded(bucket.contacts.values(), contact):
                bucket.contacts[spare] = bucket.spares.pop(spare)
                return

    def nearest(self, target: int, count: int = CONTACTS_MAX) -> list[Address]:
        """The contacts nearest to `target`, the nearest first."""
        everyone = [item for bucket in self._buckets.values() for item in bucket.contacts.items()]
        everyone.sort(key=lambda item: position_of_peer(item[0]) ^ target)
        return [contact for _, contact in everyone[:count]]

    def __len__(self) -> int:
        return sum(len(bucket.contacts) for bucket in self._buckets.values())

    def _index(self, peer_id: PeerId) -> int:
        return (position_of_peer(peer_id) ^ self._position).bit_length()


def _is_crowded(contacts: Iterable[Address], newcomer: Address) -> bool:
    where = _neighbourhood(newcomer.host)
    return (
        where is not None and sum(_neighbourhood(each.host) == where for each in contacts) >= NEIGHBOURS_MAX
    )


class BadRecord(Exception):
    """The record is forged or malformed; nobody honest passes it on."""


class RecordStore:
    """The newest record of each member of the committee; nobody else's is kept, so it cannot be filled."""

    def __init__(self, genesis: bytes) -> None:
        self._genesis = genesis
        self._records: dict[bytes, AuthorityRecord] = {}
        self.committee: frozenset[bytes] = frozenset()
        """Session keys whose records are kept."""

    def put(self, record: AuthorityRecord, now_ms: int) -> bool:
        """Whether the record is news and now kept. Raises BadRecord."""
        claims = record.claims
        if claims.session_key not in self.committee or not is_current(record, now_ms):
            return False
        known = self._records.get(claims.session_key)
        if known is not None and known.claims.sequence >= claims.sequence:
            return False
        if not is_sound(record, self._genesis):
            raise BadRecord(f"record of {claims.session_key.hex()[:12]} is forged")
        self._records[claims.session_key] = record
        self._records = {key: kept for key, kept in self._records.items() if key in self.committee}
        return True

    def get(self, session_key: bytes, now_ms: int) -> AuthorityRecord | None:
        """The record of a session key, unless it is too old."""
        record = self._records.get(session_key)
        return record if record is not None and is_current(record, now_ms) else None

    def __len__(self) -> int:
        return len(self._records)


def is_current(record: AuthorityRecord, now_ms: int) -> bool:
    """Whether a record is neither too old nor from the future."""
    return -CLOCKS_DIFFER_MS <= now_ms - record.claims.sequence <= RECORD_AGE_MAX_MS


class _State(Enum):
    NEW = auto()
    ASKED = auto()
    ANSWERED = auto()
    FAILED = auto()


@dataclass(slots=True)
class _Candidate:
    contact: Address
    distance: int
    informants: set[PeerId]
    """Who named it; nobody if it is one of our own contacts."""

    state: _State = _State.NEW


class Lookup:
    """One search: whom to ask next, until those nearest to the target have answered or a record is found."""

    def __init__(self, own: PeerId, target: int, contacts: Iterable[Address]) -> None:
        self._own = own
        self._target = target
        self._candidates: dict[PeerId, _Candidate] = {}
        self._false: dict[PeerId, int] = {}
        """How many contacts of each informant did not answer."""

        self._records = 0
        self.questions = 0
        self.record: AuthorityRecord | None = None
        """The newest record so far."""

        for contact in contacts:
            self._add(contact, None)

    def next(self) -> list[Address]:
        """Whom to ask now; they count as asked. Nobody, while enough are asked or when the search is over."""
        if self._records >= RECORDS_WANTED:
            return []
        asked = sum(each.state == _State.ASKED for each in self._candidates.values())
        free = min(ALPHA - asked, QUESTIONS_MAX - self.questions)
        chosen = [each for each in self._nearest() if each.state == _State.NEW][: max(0, free)]
        for each in chosen:
            each.state = _State.ASKED
            self.questions += 1
        return [each.contact for each in chosen]

    def answered(
        self, peer_id: PeerId, contacts: Iterable[Address], record: AuthorityRecord | None = None
    ) -> None:
        """A node answered, with contacts and perhaps a sound record of the key that is searched for."""
        self._candidates[peer_id].state = _State.ANSWERED
        for contact in contacts:
            self._add(contact, peer_id)
        if record is not None:
            self._records += 1
            if self.record is None or record.claims.sequence > self.record.claims.sequence:
                self.record = record

    def failed(self, peer_id: PeerId) -> None:
        """A node did not answer, or not as it should; who named it is trusted less."""
        candidate = self._candidates[peer_id]
        candidate.state = _State.FAILED
        for informant in candidate.informants:
            self._false[informant] = self._false.get(informant, 0) + 1
        self._candidates = {
            name: each
            for name, each in self._candidates.items()
            if each.state != _State.NEW or not each.informants or any(map(self._is_trusted, each.informants))
        }

    def _is_trusted(self, informant: PeerId) -> bool:
        return self._false.get(informant, 0) < FALSE_CONTACTS_MAX

    def nearest(self) -> list[Address]:
        """The nearest nodes that answered, the nearest first."""
        return [each.contact for each in self._nearest() if each.state == _State.ANSWERED]

    def _nearest(self) -> list[_Candidate]:
        """The nearest candidates that did not fail, few of one neighbourhood."""
        chosen: list[_Candidate] = []
        for each in sorted(self._candidates.values(), key=lambda each: each.distance):
            if each.state == _State.FAILED:
                continue
            if not _is_crowded([other.contact for other in chosen], each.contact):
                chosen.append(each)
            if len(chosen) == CONTACTS_MAX:
                break
        return chosen

    def _add(self, contact: Address, informant: PeerId | None) -> None:
        peer_id = contact.peer_id
        assert peer_id is not None
        if peer_id == self._own:
            return
        known = self._candidates.get(peer_id)
        if known is not None:
            if informant is not None and known.informants:
                known.informants.add(informant)
            return
        if informant is not None and not self._is_trusted(informant):
            return
        informants = set() if informant is None else {informant}
        self._candidates[peer_id] = _Candidate(contact, position_of_peer(peer_id) ^ self._target, informants)
        new = [(each.distance, name) for name, each in self._candidates.items() if each.state == _State.NEW]
        if len(new) > CANDIDATES_MAX:
            del self._candidates[max(new)[1]]
