"""Discovery as a service: keeps contacts, answers, publishes this validator's record, finds the others.

A node that is connected to the whole committee asks nothing but who is near it, now and then.
"""

import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from node.discovery.core import (
    BadRecord,
    Lookup,
    RecordStore,
    RoutingTable,
    is_current,
    position_of_key,
    position_of_peer,
)
from node.discovery.messages import (
    ADDRESSES_MAX,
    ANSWER,
    ANSWER_BYTES_MAX,
    PROTOCOL,
    QUESTION,
    QUESTION_BYTES_MAX,
    Answer,
    AuthorityClaims,
    AuthorityRecord,
    FindNode,
    FindRecord,
    Question,
    Store,
    is_sound,
    peer_of,
    signed_message,
)
from node.network.dial import credible
from node.network.hello import SessionSigner
from node.network.host import Network
from node.network.identity import Address, AddressError, PeerId, parse_address, scope_of
from node.network.peering import PeerConnected
from node.network.requests import RequestFailed, ServiceLimits
from node.network.streams import ProtocolViolation
from primitives.codec import CodecError
from primitives.types import U63, Bytes32

LOGGER: Final = logging.getLogger(__name__)

REFRESH_S: Final = 120.0
"""How often a node asks who is near it."""

PUBLISH_S: Final = 240.0
"""How often a validator publishes where it is."""

FIND_S: Final = 10.0
"""How often a node looks whom of the committee it misses; also the pause before its first questions."""

FIND_MAX: Final = 8
"""Members that are searched for in one turn; the others wait for the next ones."""

QUESTION_S: Final = 5.0
SEEN_MAX: Final = 64
"""Nodes whose word on our own address is kept."""

LIMITS: Final = ServiceLimits(
    request_bytes_max=QUESTION_BYTES_MAX, response_bytes_max=ANSWER_BYTES_MAX, per_peer_max=4
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service is told."""

    genesis: Bytes32
    signer: SessionSigner | None
    """Signs the record of this validator; None on a node without a vote."""

    public_addresses: tuple[Address, ...] = ()
    """Where others reach this node, at most ADDRESSES_MAX; empty: where they say that they see it."""

    clock_ms: Callable[[], int]
    """The wall clock."""

    find_s: float = FIND_S


class DiscoveryService:
    """Finds validators by their session key, and lets this one be found."""

    def __init__(self, network: Network, settings: Settings) -> None:
        self._network = network
        self._settings = settings
        self._signer = settings.signer
        self._table = RoutingTable(network.peer_id)
        self._store = RecordStore(settings.genesis)
        self._found: dict[bytes, AuthorityRecord] = {}
        """The record of each member that was searched for."""

        self._seen: dict[PeerId, str] = {}
        """At which address others say that they see this node."""

        self._turn = 0
        self._arrivals = network.subscribe()
        network.serve_visitors(PROTOCOL, self._answer, LIMITS)

    def set_signer(self, signer: SessionSigner) -> None:
        """Be found by another session key from now on."""
        self._signer = signer

    def set_committee(self, session_keys: frozenset[bytes]) -> None:
        """Name those who are searched for, and whose records are kept."""
        self._store.committee = session_keys
        self._found = {key: record for key, record in self._found.items() if key in session_keys}
        self._network.reserve(frozenset(map(peer_of, self._found.values())))

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_peers)
            nursery.start_soon(self._every, REFRESH_S, self._refresh)
            nursery.start_soon(self._every, PUBLISH_S, self._publish)
            nursery.start_soon(self._every, self._settings.find_s, self._find_missing)

    async def _every(self, period_s: float, job: Callable[[], Awaitable[bool]]) -> None:
        """Do a job every `period_s` or so, and soon again when it could not be done."""
        done = False
        while True:
            await trio.sleep((period_s if done else self._settings.find_s) * random.uniform(0.75, 1.25))
            done = await job()

    async def _follow_peers(self) -> None:
        """Peers are contacts, if they accept connections."""
        async for event in self._arrivals:
            if isinstance(event, PeerConnected):
                self._reached(parse_address(event.peer.address))

    def _reached(self, contact: Address) -> None:
        if contact.port:
            self._table.reached(contact)

    # answering

    async def _answer(self, peer: PeerId, payload: bytes) -> bytes:
        """Raises ProtocolViolation."""
        host = self._network.host_of(peer)
        if host is None:
            raise ProtocolViolation("a question of nobody", 0)
        try:
            question = QUESTION.decode(payload)
        except CodecError as error:
            raise ProtocolViolation(f"malformed question: {error}") from None
        if question.genesis != self._settings.genesis:
            raise ProtocolViolation("a question about another chain")
        now_ms = self._settings.clock_ms()
        record = None
        if isinstance(question, FindRecord):
            record = self._store.get(question.session_key, now_ms)
        elif isinstance(question, Store):
            try:
                self._store.put(question.record, now_ms)
            except BadRecord as bad:
                raise ProtocolViolation(str(bad)) from None
        target = _target_of(question)
        nearest = [str(one) for one in self._table.nearest(target) if self._may_tell(one, host)]
        return ANSWER.encode(Answer(seen_at=host, contacts=tuple(nearest), record=record))

    @staticmethod
    def _may_tell(contact: Address, host: str) -> bool:
        """Whether the one who asks can reach the contact at that address."""
        return scope_of(contact.host) >= scope_of(host)

    # asking

    async def _refresh(self) -> bool:
        """Learn who is near this node."""
        own = position_of_peer(self._network.peer_id)
        await self._search(own, self._near(own))
        return len(self._table) > 0

    async def _publish(self) -> bool:
        """Sign where this validator is, and have the nodes nearest to its key keep it."""
        signer, addresses = self._signer, self._own_addresses()
        if signer is None or signer.public_key not in self._store.committee or not addresses:
            return False
        claims = AuthorityClaims(
            genesis=self._settings.genesis,
            session_key=signer.public_key,
            peer_id=self._network.peer_id,
            addresses=addresses,
            sequence=U63(self._settings.clock_ms()),
        )
        record = AuthorityRecord(claims=claims, signature=signer.sign(signed_message(claims)))
        target = position_of_key(signer.public_key)
        nearest = (await self._search(target, self._near(target))).nearest()
        kept = 0
        for contact in nearest:
            try:
                await self._ask(contact, Store(genesis=self._settings.genesis, record=record))
                kept += 1
            except (RequestFailed, _Lied):
                continue
        LOGGER.debug("%d nodes keep where this validator is: %s", kept, ", ".join(addresses))
        return kept > 0

    async def _find_missing(self) -> bool:
        """Search for some members of the committee that are not connected, and dial those found."""
        signer = self._signer
        own = None if signer is None else signer.public_key
        missing = [
            key for key in sorted(self._store.committee) if key != own and self._network.peer_of(key) is None
        ]
        first = self._turn % max(1, len(missing))
        self._turn += FIND_MAX
        async with trio.open_nursery() as nursery:
            for key in (missing + missing)[first : first + min(FIND_MAX, len(missing))]:
                nursery.start_soon(self._find, key)
        return True

    async def _find(self, key: Bytes32) -> None:
        question = FindRecord(genesis=self._settings.genesis, session_key=key)
        lookup = await self._search(position_of_key(key), question)
        known = (lookup.record, self._store.get(key, self._settings.clock_ms()))
        records = [record for record in known if record is not None]
        if not records or key not in self._store.committee:
            return
        record = max(records, key=lambda each: each.claims.sequence)
        self._found[key] = record
        self._network.reserve(frozenset(map(peer_of, self._found.values())))
        LOGGER.info("validator %s is peer %s", key.hex()[:12], peer_of(record))
        for text in record.claims.addresses:
            self._network.dial(parse_address(text).with_peer_id(peer_of(record)))

    async def _search(self, target: int, question: Question) -> Lookup:
        """Ask nearer and nearer nodes; never more than ALPHA at once."""
        lookup = Lookup(self._network.peer_id, target, self._table.nearest(target))

        async def ask(contact: Address) -> None:
            peer = contact.peer_id
            assert peer is not None
            try:
                contacts, record = await self._ask(contact, question)
            except (RequestFailed, _Lied):
                lookup.failed(peer)
                self._table.failed(peer)
            else:
                lookup.answered(peer, contacts, record)
                self._table.reached(contact)
            ask_on()

        def ask_on() -> None:
            for contact in lookup.next():
                nursery.start_soon(ask, contact)

        async with trio.open_nursery() as nursery:
            ask_on()
        return lookup

    async def _ask(
        self, contact: Address, question: Question
    ) -> tuple[list[Address], AuthorityRecord | None]:
        """One question: the contacts and the record in the answer. Raises RequestFailed, _Lied."""
        peer, network = contact.peer_id, self._network
        assert peer is not None
        asking = partial(network.request, peer) if network.peer(peer) else partial(network.visit, contact)
        payload = QUESTION.encode(question)
        data = await asking(PROTOCOL, payload, timeout_s=QUESTION_S, response_bytes_max=ANSWER_BYTES_MAX)
        try:
            answer = ANSWER.decode(data)
            contacts = credible(answer.contacts, contact.host)
            scope_of(answer.seen_at)
        except (CodecError, AddressError) as error:
            raise _Lied from error
        self._seen[peer] = answer.seen_at
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        if answer.record is None or not isinstance(question, FindRecord):
            return contacts, None
        if answer.record.claims.session_key != question.session_key or not is_sound(
            answer.record, self._settings.genesis
        ):
            raise _Lied
        is_useful = is_current(answer.record, self._settings.clock_ms())
        return contacts, answer.record if is_useful else None

    def _near(self, target: int) -> FindNode:
        return FindNode(genesis=self._settings.genesis, target=target.to_bytes(32, "big"))

    def _own_addresses(self) -> tuple[str, ...]:
        """Where this node is reached: as told, or where it listens, or where others see it."""
        listening = self._network.listening
        if self._settings.public_addresses:
            return tuple(map(str, self._settings.public_addresses))
        if listening is None:
            return ()
        hosts = [host for host, _ in Counter(self._seen.values()).most_common(ADDRESSES_MAX)]
        if not _is_any(listening.host):
            hosts = [listening.host]
        return tuple(str(Address(host=host, port=listening.port)) for host in hosts)


def _target_of(question: Question) -> int:
    """Where in the table the answer is."""
    match question:
        case FindNode():
            return int.from_bytes(question.target, "big")
        case FindRecord():
            return position_of_key(question.session_key)
        case Store():
            return position_of_key(question.record.claims.session_key)


class _Lied(Exception):
    """The answer is malformed or forged."""


def _is_any(host: str) -> bool:
    """Whether listening on `host` means every address of the machine."""
    return host in ("0.0.0.0", "::")
