from hypothesis import given
from hypothesis import strategies as st

from node.network.dial import (
    ADDRESSES_PER_PEER_MAX,
    FIRST_RETRY_S,
    PEERS_MAX,
    STRANGER_RETRY_S,
    TRUSTED_RETRY_S,
    YIELD_S,
    AddressBook,
)
from node.network.identity import Address, PeerId

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
