from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from node.network.hello import Refusal, Role
from node.network.identity import PeerId
from node.network.peers import Limits, PeerInfo, PeerTable, SocketGate
from node.network.scores import BAN_S, BAN_SCORE, RECORDS_MAX, SCORE_MAX

LIMITS = Limits(inbound_max=2, outbound_max=2, sockets_per_network_max=3, silent_per_network_max=2)
KEY = b"\x01" * 32


def peer(name: str, *, outbound: bool = False, session_key: bytes | None = None) -> PeerInfo:
    return PeerInfo(
        peer_id=PeerId(name),
        address="/ip4/127.0.0.1/tcp/1",
        outbound=outbound,
        role=Role.FULL,
        session_key=session_key,
        finalized_height=0,
    )


def test_strangers_fill_only_their_own_slots() -> None:
    table = PeerTable(LIMITS, authorities=frozenset({KEY}))
    table.add(peer("a"))
    table.add(peer("b"))
    assert table.refusal(peer("c"), 0) == Refusal.FULL
    assert table.refusal(peer("c", session_key=KEY), 0) is None
    assert table.refusal(peer("c", outbound=True), 0) is None
    assert table.refusal(peer("a"), 0) is None


def test_a_session_key_outside_the_committee_reserves_nothing() -> None:
    table = PeerTable(LIMITS, authorities=frozenset({KEY}))
    table.add(peer("a"))
    table.add(peer("b"))
    assert table.refusal(peer("c", session_key=b"\x02" * 32), 0) == Refusal.FULL


def test_authorities_and_own_dials_take_no_stranger_slot() -> None:
    table = PeerTable(LIMITS, authorities=frozenset({KEY}))
    table.add(peer("a", session_key=KEY))
    table.add(peer("b", outbound=True))
    table.add(peer("c"))
    assert table.refusal(peer("d"), 0) is None


def test_one_key_of_the_committee_reserves_one_slot() -> None:
    """Its owner may sign for a thousand peer ids; all but one are strangers."""
    table = PeerTable(LIMITS, authorities=frozenset({KEY}))
    table.add(peer("a", session_key=KEY))
    table.add(peer("b"))
    assert table.refusal(peer("c", session_key=KEY), 0) is None
    table.add(peer("c", session_key=KEY))
    assert table.refusal(peer("d", session_key=KEY), 0) == Refusal.FULL
    assert table.refusal(peer("d"), 0) == Refusal.FULL


def test_the_third_banned_key_bans_its_network_for_a_time() -> None:
    table = PeerTable(LIMITS)
    for number in range(3):
        assert not table.networks.is_banned("10.0.0.1", number)
        assert table.adjust(PeerId(str(number)), -100, number, "10.0.0.1")
    assert table.networks.is_banned("10.0.0.1", 3)
    assert not table.networks.is_banned("10.0.0.2", 3)
    assert not table.networks.is_banned("10.0.0.1", 3 + BAN_S)


def test_the_network_of_this_machine_is_never_banned() -> None:
    table = PeerTable(LIMITS)
    for number in range(9):
        table.adjust(PeerId(str(number)), -100, 0, "127.0.0.1")
    assert not table.networks.is_banned("127.0.0.1", 0)


def test_a_fault_that_is_no_ban_costs_the_network_nothing() -> None:
    table = PeerTable(LIMITS)
    for number in range(9):
        table.adjust(PeerId(str(number)), -99, 0, "10.0.0.1")
    assert table.networks.score("10.0.0.1", 0) == 0


def test_a_low_score_bans_for_a_time() -> None:
    table = PeerTable(LIMITS)
    a = PeerId("a")
    assert not table.adjust(a, BAN_SCORE + 1, 0)
    assert table.adjust(a, -1, 0)
    assert table.refusal(peer("a", outbound=True), BAN_S - 1) == Refusal.BANNED
    assert table.banned(BAN_S - 1) == (a,)
    assert table.refusal(peer("a"), BAN_S) is None
    assert table.score(a, BAN_S) == 0


def test_scores_heal_but_not_above_nothing() -> None:
    table = PeerTable(LIMITS)
    table.adjust(PeerId("a"), -50, 0)
    assert table.score(PeerId("a"), 100) == -40
    assert table.score(PeerId("a"), 10_000) == 0


def test_a_score_outlives_its_connection() -> None:
    table = PeerTable(LIMITS)
    table.add(peer("a"))
    table.adjust(PeerId("a"), -50, 0)
    table.remove(PeerId("a"))
    table.add(peer("a"))
    assert table.snapshot(0) == (replace(peer("a"), score=-50),)


def test_the_latest_peer_that_proves_a_session_key_is_its_node() -> None:
    table = PeerTable(LIMITS)
    table.add(peer("a", session_key=KEY))
    table.add(peer("b", session_key=KEY))
    assert table.peer_of(KEY) == "b"
    table.remove(PeerId("b"))
    assert table.peer_of(KEY) == "a"
    assert table.peer_of(b"\x02" * 32) is None


def test_heights_are_updated() -> None:
    table = PeerTable(LIMITS)
    table.add(peer("a"))
    table.set_height(PeerId("a"), 7)
    assert table.get(PeerId("a"), 0) == replace(peer("a"), finalized_height=7)
    table.set_height(PeerId("b"), 7)
    assert table.get(PeerId("b"), 0) is None


def test_records_of_strangers_are_bounded() -> None:
    table = PeerTable(LIMITS)
    for number in range(RECORDS_MAX + 10):
        table.adjust(PeerId(str(number)), -200, 0)
    assert len(table.banned(1)) == RECORDS_MAX


@given(st.lists(st.tuples(st.integers(-60, 60), st.floats(0, 100)), max_size=30))
def test_scores_stay_within_their_bounds(changes: list[tuple[int, float]]) -> None:
    table = PeerTable(LIMITS)
    now = 0.0
    for change, pause in changes:
        now += pause
        table.adjust(PeerId("a"), change, now)
        assert BAN_SCORE < table.score(PeerId("a"), now) <= SCORE_MAX


def test_silent_sockets_of_one_network_leave_room_for_others() -> None:
    gate = SocketGate(LIMITS)
    assert [gate.enter("x") for _ in range(3)] == [True, True, False]
    assert gate.enter("y")
    gate.authenticated("x")
    assert [gate.enter("x"), gate.enter("x")] == [True, False]


def test_sockets_of_one_network_are_counted_until_they_close() -> None:
    gate = SocketGate(LIMITS)
    for _ in range(3):
        assert gate.enter("x")
        gate.authenticated("x")
    assert not gate.enter("x")
    gate.leave("x")
    assert gate.enter("x")


def test_sockets_are_bounded_in_all() -> None:
    gate = SocketGate(Limits(sockets_max=3, silent_max=2))
    assert [gate.enter(network) for network in ("a", "b", "c")] == [True, True, False]
    gate.authenticated("a")
    assert [gate.enter(network) for network in ("c", "d")] == [True, False]
    gate.authenticated("b")
    gate.authenticated("c")
    assert not gate.enter("d")
    gate.leave("a")
    assert gate.enter("d")


def test_this_machine_may_use_all_sockets() -> None:
    gate = SocketGate(LIMITS)
    assert all(gate.enter("127.0.0.1") for _ in range(LIMITS.silent_max))
    assert not gate.enter("127.0.0.1")
