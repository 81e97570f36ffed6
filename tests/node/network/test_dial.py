import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.network.dial import (
    ADDRESSES_PER_PEER_MAX,
    FIRST_RETRY_S,
    HEARSAY_FAILURES_MAX,
    HEARSAY_PER_HOST_MAX,
    PEERS_MAX,
    STRANGER_RETRY_S,
    TRUSTED_RETRY_S,
    YIELD_S,
    AddressBook,
    Known,
    credible,
)
from node.network.identity import Address, AddressError, PeerId, peer_id_of
from primitives.types import Seed

OWN, A, B = PeerId("own"), PeerId("a"), PeerId("b")


def at(peer: PeerId, port: int = 1) -> Address:
    return Address(host="127.0.0.1", port=port, peer_id=peer)


def book(*addresses: Address, bootnode: bool = False) -> AddressBook:
    result = AddressBook(OWN)
    for address in addresses:
        result.add(address, bootnode=bootnode)
    return result


def pause_after(failures: int, addresses: AddressBook, *, hopeless: bool = False) -> float:
    now = 0.0
    for _ in range(failures):
        now += addresses.wait_s(now, set())
        addresses.failed(A, now, 1.0, hopeless=hopeless)
    return addresses.wait_s(now, set())


def test_a_new_address_is_due_at_once_unless_its_peer_is_busy() -> None:
    assert book(at(A)).due(0, set(), 9) == [at(A)]
    assert book(at(A)).due(0, {A}, 9) == []


def test_one_never_dials_oneself() -> None:
    assert book(at(OWN)).due(0, set(), 9) == []


def test_of_two_who_hear_of_each_other_the_lower_dials_first() -> None:
    addresses = AddressBook(B)
    addresses.add(at(A), heard_at=10)
    addresses.add(at(PeerId("c")), heard_at=10)
    assert addresses.due(10, set(), 9) == [at(PeerId("c"))]
    assert at(A) in addresses.due(10 + YIELD_S, set(), 9)


def test_no_more_are_due_than_there_are_slots() -> None:
    assert book(at(A), at(B)).due(0, set(), 1) == [at(A)]
    assert book(at(A), at(B)).due(0, set(), -1) == []


def test_pauses_double_up_to_the_limit_of_strangers() -> None:
    assert [pause_after(count, book(at(A))) for count in (1, 2, 3)] == [FIRST_RETRY_S, 0.5, 1.0]
    assert pause_after(20, book(at(A))) == STRANGER_RETRY_S


def test_bootnodes_and_peers_that_answered_are_tried_often() -> None:
    assert pause_after(20, book(at(A), bootnode=True)) == TRUSTED_RETRY_S
    answered = book(at(A))
    answered.answered(A, 0)
    assert pause_after(20, answered) == TRUSTED_RETRY_S
    assert pause_after(200, answered) == STRANGER_RETRY_S


def test_a_peer_that_does_not_want_us_is_left_alone() -> None:
    assert pause_after(1, book(at(A), bootnode=True), hopeless=True) == STRANGER_RETRY_S


def test_a_vanished_peer_is_due_at_once() -> None:
    addresses = book(at(A))
    pause_after(20, addresses)
    addresses.answered(A, 500)
    assert addresses.due(500, set(), 9) == [at(A)]


def test_another_address_is_tried_after_a_failure() -> None:
    addresses = book(at(A, 1), at(A, 2))
    assert addresses.due(0, set(), 9) == [at(A, 2)]
    addresses.failed(A, 0, 0)
    assert addresses.due(9, set(), 9) == [at(A, 1)]


def test_addresses_of_one_peer_are_bounded() -> None:
    addresses = book(*(at(A, port) for port in range(1, 20)))
    tried = set()
    for turn in range(20):
        tried.add(addresses.due(1e9, set(), 9)[0].port)
        addresses.failed(A, turn, 0)
    assert tried == set(range(20 - ADDRESSES_PER_PEER_MAX, 20))


def test_hearsay_never_displaces_who_answered_or_is_a_bootnode() -> None:
    addresses = book(at(A), bootnode=True)
    addresses.add(at(B))
    addresses.answered(B, 0)
    for number in range(2 * PEERS_MAX):
        addresses.add(at(PeerId(f"stranger {number}")))
    due = addresses.due(0, set(), 10 * PEERS_MAX)
    assert len(due) == PEERS_MAX
    assert {at(A), at(B)} <= set(due)


def test_a_peer_that_is_gone_for_good_makes_room() -> None:
    addresses = book(at(A))
    addresses.answered(A, 0)
    for number in range(PEERS_MAX):
        addresses.add(at(PeerId(f"stranger {number}")))
    assert not addresses.add(at(B))
    pause_after(200, addresses)
    assert addresses.add(at(B))


@given(st.lists(st.sampled_from(["add", "fail", "answer"]), max_size=40), st.floats(0, 1))
def test_a_known_peer_is_always_due_again_within_the_longest_pause(steps: list[str], jitter: float) -> None:
    addresses = book(at(A))
    for now, step in enumerate(steps):
        match step:
            case "add":
                addresses.add(at(A, now + 1))
            case "fail":
                addresses.failed(A, now, jitter)
            case _:
                addresses.answered(A, now)
    assert addresses.due(len(steps) + STRANGER_RETRY_S, set(), 1)


def test_rumours_send_us_to_one_host_for_few_peers() -> None:
    """Whoever names a victim's address under many peer ids gets it dialed for a few of them only."""
    addresses = book()
    victim = [Address(host="10.0.0.9", port=port, peer_id=PeerId(f"p{port}")) for port in range(1, 50)]
    assert sum(addresses.add(address, heard_at=0) for address in victim) == HEARSAY_PER_HOST_MAX
    assert addresses.add(victim[-1])
    assert addresses.add(Address(host="10.0.0.8", port=1, peer_id=A), heard_at=0)
    assert all(addresses.add(at(PeerId(f"local {port}"), port), heard_at=0) for port in range(1, 50))


def test_a_rumour_that_leads_nowhere_is_forgotten() -> None:
    addresses = AddressBook(OWN)
    addresses.add(at(A), heard_at=0)
    addresses.add(at(B))
    for turn in range(HEARSAY_FAILURES_MAX):
        assert at(A) in addresses.due(1e9, set(), 9)
        addresses.failed(A, turn, 0)
        addresses.failed(B, turn, 0)
    assert addresses.due(1e9, set(), 9) == [at(B)]


def test_what_answered_is_no_rumour_any_more() -> None:
    addresses = AddressBook(OWN)
    addresses.add(at(A), heard_at=0)
    addresses.answered(A, 0)
    for turn in range(2 * HEARSAY_FAILURES_MAX):
        addresses.failed(A, turn, 0)
    assert addresses.due(1e9, set(), 9) == [at(A)]


def test_a_restored_book_knows_the_same_and_trusts_who_answered() -> None:
    addresses = book(at(A, 1), at(A, 2))
    addresses.answered(A, 5)
    addresses.add(at(B), heard_at=0)
    restored = AddressBook(OWN)
    for known in addresses.known(10):
        restored.restore(known, 10)
    assert (
        list(restored.known(10))
        == list(addresses.known(10))
        == [
            Known(A, (at(A, 2), at(A, 1)), 5.0),
            Known(B, (at(B),), None),
        ]
    )
    for turn in range(HEARSAY_FAILURES_MAX):
        restored.failed(A, turn, 1.0)
        restored.failed(B, turn, 1.0)
    assert restored.wait_s(HEARSAY_FAILURES_MAX, set()) < TRUSTED_RETRY_S
    assert [known.peer_id for known in restored.known(10)] == [A]


def test_a_peer_was_last_connected_when_it_left() -> None:
    addresses = book(at(A))
    addresses.answered(A, 5)
    addresses.left(A, 8)
    assert [known.answered_age_s for known in addresses.known(10)] == [2.0]


def test_the_committee_is_dialed_first_and_though_there_is_no_slot() -> None:
    addresses = book(at(A), at(B))
    addresses.answered(B, 5)
    addresses.reserved = frozenset({B})
    assert addresses.due(9, set(), 9) == [at(B), at(A)]
    assert addresses.due(9, set(), 9, slots=0) == [at(B)]
    assert addresses.due(9, set(), 9, slots=2) == [at(B), at(A)]
    assert addresses.due(9, {B}, 9, slots=0) == []
    assert addresses.due(9, set(), 0, slots=9) == []
    assert addresses.wait_s(1, set(), only_reserved=True) == 4.0
    assert addresses.wait_s(1, set()) == 0.0


ANYBODY = peer_id_of(Seed(bytes(32)))


@pytest.mark.parametrize(
    ("speaker", "host", "believed"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "192.168.0.1", True),
        ("10.0.0.1", "8.8.8.8", True),
        ("8.8.8.8", "9.9.9.9", True),
        ("8.8.8.8", "192.168.0.1", False),
        ("8.8.8.8", "169.254.169.254", False),
        ("2a00::1", "fd00::1", False),
        ("::ffff:8.8.8.8", "100.64.0.1", False),
    ],
)
def test_nobody_is_believed_on_what_is_nearer_to_us_than_it_is(
    speaker: str, host: str, believed: bool
) -> None:
    place = Address(host=host, port=1, peer_id=ANYBODY)
    assert credible([str(place)], speaker) == ([place] if believed else [])


@pytest.mark.parametrize(
    "text",
    [
        f"/ip4/127.0.0.1/tcp/1/p2p/{ANYBODY}",
        f"/ip4/0.0.0.0/tcp/1/p2p/{ANYBODY}",
        f"/ip4/224.0.0.1/tcp/1/p2p/{ANYBODY}",
        f"/ip4/8.8.8.8/tcp/0/p2p/{ANYBODY}",
        f"/dns/example.org/tcp/1/p2p/{ANYBODY}",
        "/ip4/8.8.8.8/tcp/1",
    ],
)
def test_some_things_no_honest_node_says(text: str) -> None:
    with pytest.raises(AddressError):
        credible([text], "10.0.0.1")
