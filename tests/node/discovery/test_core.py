import random
from collections.abc import Callable

import pytest

from node.discovery.core import (
    BUCKET_MAX,
    CLOCKS_DIFFER_MS,
    FAILURES_MAX,
    FALSE_CONTACTS_MAX,
    NEIGHBOURS_MAX,
    QUESTIONS_MAX,
    RECORD_AGE_MAX_MS,
    BadRecord,
    Lookup,
    RecordStore,
    RoutingTable,
    position_of_key,
    position_of_peer,
)
from node.discovery.messages import CLAIMS, AuthorityClaims, AuthorityRecord, is_sound, signed_message
from node.network.identity import Address, PeerId, peer_id_of_key
from primitives.hashing import blake2b_256
from primitives.signing import SigningKey
from primitives.types import U63, Seed

GENESIS = b"\x07" * 32
NOW = 10**12
NODES = 200
ANSWERING_BITS = 8
"""A network of 200 nodes has about 8 bits of distance to go."""


def peer(number: int) -> PeerId:
    return peer_id_of_key(blake2b_256(number.to_bytes(4, "big")))


def at(number: int, host: str | None = None) -> Address:
    return Address(
        host=host or f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        port=1,
        peer_id=peer(number),
    )


def key(number: int) -> SigningKey:
    return SigningKey(Seed(number.to_bytes(32, "big")))


def record(signer: SigningKey, sequence: int = NOW, genesis: bytes = GENESIS) -> AuthorityRecord:
    claims = AuthorityClaims(
        genesis=genesis,
        session_key=signer.public_key,
        peer_id=peer(1),
        addresses=("/ip4/10.0.0.1/tcp/1",),
        sequence=U63(sequence),
    )
    return AuthorityRecord(claims=claims, signature=signer.sign(signed_message(claims)))


class World:
    """Nodes that know each other as a grown network does, some silent, some lying."""

    def __init__(self, seed: int, *, silent: float = 0.0, lying: float = 0.0) -> None:
        chance = random.Random(seed)
        self.tables = {peer(number): RoutingTable(peer(number)) for number in range(NODES)}
        self.addresses = {peer(number): at(number) for number in range(NODES)}
        self.records: dict[PeerId, AuthorityRecord] = {}
        for table in self.tables.values():
            for number in chance.sample(range(NODES), NODES):
                table.reached(at(number))
        others = list(self.tables)[1:]
        chance.shuffle(others)
        self.silent = set(others[: int(silent * NODES)])
        self.lying = set(others[len(self.silent) :][: int(lying * NODES)])
        self.invented = 0

    def invent(self, target: int) -> list[Address]:
        """Contacts that do not exist, as near to the target as a little work makes them."""
        self.invented += 1
        start = 10**6 + 1000 * self.invented
        numbers = sorted(
            range(start, start + 200), key=lambda number: position_of_peer(peer(number)) ^ target
        )
        return [at(number) for number in numbers[:BUCKET_MAX]]

    def run(self, lookup: Lookup, target: int) -> int:
        """Search to the end; how many rounds of questions it took."""
        rounds = 0
        while asked := lookup.next():
            rounds += 1
            for contact in asked:
                assert contact.peer_id is not None
                if contact.peer_id in self.silent or contact.peer_id not in self.tables:
                    lookup.failed(contact.peer_id)
                elif contact.peer_id in self.lying:
                    lookup.answered(contact.peer_id, self.invent(target))
                else:
                    found = self.records.get(contact.peer_id)
                    lookup.answered(contact.peer_id, self.tables[contact.peer_id].nearest(target), found)
        return rounds

    def search(self, origin: PeerId, target: int) -> tuple[Lookup, int]:
        lookup = Lookup(origin, target, self.tables[origin].nearest(target))
        return lookup, self.run(lookup, target)

    def publish(self, origin: PeerId, signer: SigningKey) -> None:
        lookup, _ = self.search(origin, position_of_key(signer.public_key))
        for contact in lookup.nearest():
            assert contact.peer_id is not None
            if contact.peer_id not in self.lying:
                self.records[contact.peer_id] = record(signer)


def test_a_lookup_finds_the_nearest_nodes_in_a_few_rounds() -> None:
    world = World(0)
    for number in range(20):
        target = position_of_key(bytes([number]))
        lookup, rounds = world.search(peer(number), target)
        nearest = sorted(set(world.tables) - {peer(number)}, key=lambda one: position_of_peer(one) ^ target)
        assert [one.peer_id for one in lookup.nearest()] == nearest[:BUCKET_MAX]
        assert rounds <= ANSWERING_BITS + BUCKET_MAX // 3 + 1


@pytest.mark.parametrize(
    ("silent", "lying"),
    [(0.0, 0.0), (0.2, 0.0), (0.0, 0.2), (0.1, 0.1)],
    ids=["all", "silent", "lying", "both"],
)
def test_records_are_found_by_everyone_with_a_fifth_silent_or_lying(silent: float, lying: float) -> None:
    world = World(1, silent=silent, lying=lying)
    honest = [one for one in world.tables if one not in world.silent | world.lying]
    for number in range(3):
        world.records.clear()
        signer = key(number + 1)
        world.publish(honest[number], signer)
        for origin in honest[number::10]:
            lookup, _ = world.search(origin, position_of_key(signer.public_key))
            assert lookup.record == record(signer)
            assert lookup.questions <= QUESTIONS_MAX


def test_questions_grow_with_the_logarithm_of_the_network() -> None:
    """One hop settles a bit or more, so a search for a record asks a small part of the network."""
    world = World(2)
    signer = key(9)
    world.publish(peer(0), signer)
    questions = [world.search(peer(n), position_of_key(signer.public_key))[0].questions for n in range(NODES)]
    assert max(questions) <= 3 * ANSWERING_BITS


def test_a_lookup_ends_though_everybody_lies() -> None:
    world = World(3, lying=0.99)
    lookup, _ = world.search(peer(0), position_of_key(b"x"))
    assert lookup.questions <= QUESTIONS_MAX
    assert lookup.record is None


def test_one_liar_is_found_out() -> None:
    lookup = Lookup(peer(0), 0, [at(1), at(2)])
    assert len(lookup.next()) == 2
    lookup.answered(peer(1), [at(number) for number in range(100, 116)])
    lookup.answered(peer(2), [at(100), at(3)])
    failures = 0
    while asked := [one.peer_id for one in lookup.next()]:
        for one in asked:
            assert one is not None
            if one == peer(3):
                lookup.answered(one, [])
            else:
                lookup.failed(one)
                failures += 1
    assert failures <= FALSE_CONTACTS_MAX + 3
    assert {one.peer_id for one in lookup.nearest()} == {peer(1), peer(2), peer(3)}


def test_the_newest_of_two_records_counts_and_ends_the_search() -> None:
    signer = key(1)
    lookup = Lookup(peer(0), 0, [at(number) for number in range(1, 10)])
    first, second, _ = (one.peer_id for one in lookup.next())
    assert first is not None
    assert second is not None
    lookup.answered(first, [], record(signer, NOW + 1))
    lookup.answered(second, [], record(signer, NOW))
    assert lookup.next() == []
    assert lookup.record == record(signer, NOW + 1)


def of_one_bucket(table_of: PeerId, count: int) -> list[int]:
    own = position_of_peer(table_of)
    far = [number for number in range(1, 10_000) if (position_of_peer(peer(number)) ^ own) >> 255]
    return far[:count]


def test_old_contacts_are_never_pushed_out_by_new_ones() -> None:
    table = RoutingTable(peer(0))
    numbers = of_one_bucket(peer(0), 500)
    for number in numbers:
        table.reached(at(number))
    assert {one.peer_id for one in table.nearest(0, 999)} == {peer(number) for number in numbers[:BUCKET_MAX]}


def test_a_contact_that_fails_gives_its_place_to_one_that_waited() -> None:
    table = RoutingTable(peer(0))
    numbers = of_one_bucket(peer(0), BUCKET_MAX + 1)
    for number in numbers:
        table.reached(at(number))
    for _ in range(FAILURES_MAX - 1):
        table.failed(peer(numbers[0]))
    table.reached(at(numbers[0]))
    table.failed(peer(numbers[0]))
    assert at(numbers[0]) in table.nearest(0, 999)
    table.failed(peer(numbers[0]))
    assert at(numbers[0]) not in table.nearest(0, 999)
    assert at(numbers[-1]) in table.nearest(0, 999)
    assert len(table) == BUCKET_MAX


def test_one_owner_fills_no_bucket() -> None:
    table = RoutingTable(peer(0))
    numbers = of_one_bucket(peer(0), BUCKET_MAX)
    for number in numbers[:-1]:
        table.reached(at(number, f"9.9.9.{number % 250}"))
    table.reached(at(numbers[-1], "9.9.8.1"))
    hosts = [one.host for one in table.nearest(0, 999)]
    assert sum(host.startswith("9.9.9.") for host in hosts) == NEIGHBOURS_MAX
    assert "9.9.8.1" in hosts


def test_one_owner_crowds_no_lookup() -> None:
    """Whoever makes peer ids near the target, all on one network, is asked twice."""
    lookup = Lookup(peer(0), 0, [at(number, f"9.9.9.{number}") for number in range(1, 50)] + [at(60)])
    asked = lookup.next()
    assert sum(one.host.startswith("9.9.9.") for one in asked) == NEIGHBOURS_MAX
    assert at(60) in asked


def test_nobody_is_its_own_contact() -> None:
    table = RoutingTable(peer(0))
    table.reached(at(0))
    assert len(table) == 0
    assert Lookup(peer(0), 0, [at(0)]).next() == []


def store(*keys: SigningKey) -> RecordStore:
    result = RecordStore(GENESIS)
    result.committee = frozenset(one.public_key for one in keys)
    return result


def test_the_newest_record_of_a_member_is_kept() -> None:
    kept = store(key(1))
    assert kept.put(record(key(1)), NOW)
    assert not kept.put(record(key(1)), NOW)
    assert not kept.put(record(key(1), NOW - 1), NOW)
    assert kept.put(record(key(1), NOW + 1), NOW)
    assert kept.get(key(1).public_key, NOW) == record(key(1), NOW + 1)


def test_a_store_holds_no_more_than_the_committee() -> None:
    kept = store(key(1), key(2))
    assert [kept.put(record(key(number)), NOW) for number in range(1, 50)].count(True) == 2
    kept.committee = frozenset({key(3).public_key})
    assert kept.put(record(key(3)), NOW)
    assert len(kept) == 1


def test_records_expire_and_are_not_taken_from_the_future() -> None:
    kept = store(key(1))
    assert not kept.put(record(key(1), NOW - RECORD_AGE_MAX_MS - 1), NOW)
    assert not kept.put(record(key(1), NOW + CLOCKS_DIFFER_MS + 1), NOW)
    assert kept.put(record(key(1)), NOW)
    assert kept.get(key(1).public_key, NOW + RECORD_AGE_MAX_MS) is not None
    assert kept.get(key(1).public_key, NOW + RECORD_AGE_MAX_MS + 1) is None


def changed(**claims: object) -> Callable[[AuthorityRecord], AuthorityRecord]:
    def change(sound: AuthorityRecord) -> AuthorityRecord:
        fields = {name: getattr(sound.claims, name) for name in sound.claims.__struct_fields__}
        return AuthorityRecord(claims=AuthorityClaims(**{**fields, **claims}), signature=sound.signature)

    return change


FORGED = {
    "another node": changed(peer_id=peer(2)),
    "another address": changed(addresses=("/ip4/10.0.0.2/tcp/1",)),
    "another time": changed(sequence=NOW + 1),
    "another signature": lambda sound: AuthorityRecord(claims=sound.claims, signature=bytes(64)),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_forged_record_is_refused(forge: Callable[[AuthorityRecord], AuthorityRecord]) -> None:
    kept = store(key(1))
    with pytest.raises(BadRecord):
        kept.put(forge(record(key(1))), NOW)
    assert len(kept) == 0


@pytest.mark.parametrize(
    "claims",
    [
        {"genesis": bytes(32)},
        {"peer_id": "nobody"},
        {"addresses": ("nowhere",)},
        {"addresses": ("/ip4/10.0.0.1/tcp/0",)},
        {"addresses": (f"/ip4/10.0.0.1/tcp/1/p2p/{peer(1)}",)},
    ],
    ids=["another chain", "no peer id", "no address", "no port", "a peer id in an address"],
)
def test_what_makes_no_sense_is_refused_though_it_is_signed(claims: dict[str, object]) -> None:
    odd = changed(**claims)(record(key(1))).claims
    signed = AuthorityRecord(claims=odd, signature=key(1).sign(signed_message(odd)))
    assert not is_sound(signed, GENESIS)
    with pytest.raises(BadRecord):
        store(key(1)).put(signed, NOW)


def test_a_signature_is_of_all_claims() -> None:
    assert CLAIMS.encode(record(key(1)).claims) in signed_message(record(key(1)).claims)
    assert is_sound(record(key(1)), GENESIS)
