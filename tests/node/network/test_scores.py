from node.network.scores import BAN_S, RECORDS_MAX, SCORE_MAX, Ledger, Standing


def test_a_negative_score_heals_at_the_pace_of_its_ledger() -> None:
    ledger = Ledger[str](0.5)
    ledger.adjust("a", -50, 0)
    assert [ledger.score("a", now) for now in (0, 10, 99, 1000)] == [-50, -45, -1, 0]


def test_a_ban_is_never_pushed_out_by_what_is_no_ban() -> None:
    ledger = Ledger[str](0.1)
    assert ledger.adjust("banned", -100, 0)
    for number in range(2 * RECORDS_MAX):
        ledger.adjust(f"stranger {number}", -1, 1)
    assert ledger.is_banned("banned", 1)
    assert len(list(ledger.standings(1))) == RECORDS_MAX


def test_a_ledger_reads_back_as_it_was() -> None:
    ledger = Ledger[str](0.1)
    ledger.adjust("good", 7, 0)
    ledger.adjust("bad", -40, 0)
    ledger.adjust("worst", -100, 0)
    assert list(ledger.standings(100)) == [
        Standing("bad", -30, 0.0),
        Standing("good", 7, 0.0),
        Standing("worst", 0, BAN_S - 100),
    ]
    restored = Ledger[str](0.1)
    for standing in ledger.standings(100):
        restored.restore(standing, 5_000)
    assert list(restored.standings(5_000)) == list(ledger.standings(100))
    assert not restored.is_banned("worst", 5_000 + BAN_S - 100)


def test_what_is_put_back_keeps_the_bounds() -> None:
    ledger = Ledger[str](0.1)
    ledger.restore(Standing("a", 10**9, 10.0**9), 0)
    assert list(ledger.standings(0)) == [Standing("a", SCORE_MAX, BAN_S)]
    for number in range(RECORDS_MAX + 5):
        ledger.restore(Standing(str(number), 0, 1), 0)
    assert len(list(ledger.standings(0))) == RECORDS_MAX
