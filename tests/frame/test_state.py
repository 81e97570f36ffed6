"""The overlay behaves as a dictionary with transactions, on any view."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from frame.state import DictState, Overlay

KEYS = st.binary(max_size=3)
VALUES = st.binary(max_size=2)


class OverlayMachine(RuleBasedStateMachine):
    """An overlay against a stack of plain dictionaries."""

    @initialize(base=st.dictionaries(KEYS, VALUES, max_size=6))
    def start(self, base: dict[bytes, bytes]) -> None:
        self.base = DictState(base)
        self.overlay = Overlay(self.base)
        self.model = dict(base)
        self.written: set[bytes] = set()
        self.open: list[tuple[int, dict[bytes, bytes], set[bytes]]] = []

    @rule(key=KEYS, value=st.none() | VALUES)
    def put(self, key: bytes, value: bytes | None) -> None:
        self.overlay.put(key, value)
        self.written.add(key)
        if value is None:
            self.model.pop(key, None)
        else:
            self.model[key] = value

    @rule()
    def begin(self) -> None:
        self.open.append((self.overlay.begin(), dict(self.model), set(self.written)))

    @rule()
    def commit(self) -> None:
        if self.open:
            self.open.pop()

    @rule()
    def rollback(self) -> None:
        if self.open:
            position, self.model, self.written = self.open.pop()
            self.overlay.rollback(position)

    @rule(prefix=st.binary(max_size=2))
    def iterate(self, prefix: bytes) -> None:
        expected = [(key, value) for key, value in sorted(self.model.items()) if key.startswith(prefix)]
        assert list(self.overlay.iterate(prefix)) == expected

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        assert self.overlay.get(key) == self.model.get(key)

    @invariant()
    def changes_lead_from_the_base_to_the_model(self) -> None:
        changes = self.overlay.changes()
        assert [key for key, _ in changes] == sorted(self.written)
        state = DictState(self.base.entries)
        state.apply(changes)
        assert state.entries == self.model


TestOverlay = OverlayMachine.TestCase


def test_a_view_is_walked_as_it_was_when_the_walk_began() -> None:
    overlay = Overlay(DictState({b"a": b"1"}))
    overlay.put(b"b", b"2")
    walk = overlay.iterate(b"")
    overlay.put(b"c", b"3")
    overlay.put(b"a", None)
    assert list(walk) == [(b"a", b"1"), (b"b", b"2")]
