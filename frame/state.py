"""The state as the runtime sees it: a read-only view, and an overlay that collects what a block changes."""

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from primitives.types import STORAGE_KEY_BYTES_MAX

Changes = tuple[tuple[bytes, bytes | None], ...]
"""(key, value, or None for a removal), ascending by key, one entry a key."""


class StateView(Protocol):
    """A state that nobody changes while it is looked at."""

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`; an empty value differs from an absent one."""
        ...

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every (key, value) whose key starts with `prefix`, ascending by key."""
        ...


class DictState:
    """A state in a plain dictionary, for tests, dry runs and genesis."""

    def __init__(self, entries: Mapping[bytes, bytes] | None = None) -> None:
        """A copy of `entries`, or the empty state."""
        self.entries = dict(entries or {})

    def get(self, key: bytes) -> bytes | None:
        """As in StateView."""
        return self.entries.get(key)

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """As in StateView."""
        return iter([(key, self.entries[key]) for key in sorted(self.entries) if key.startswith(prefix)])

    def apply(self, changes: Changes) -> None:
        """Become the state after `changes`."""
        for key, value in changes:
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value


class _Unwritten:
    """The type of the marker for a key that the overlay does not hold."""


_UNWRITTEN: Final = _Unwritten()


class Overlay:
    """Writes on top of a view, with nested transactions.

    Every write logs what it replaced. A transaction is a position in that log: opening or committing one is
    free, rolling one back costs as much as it wrote.
    """

    def __init__(self, base: StateView) -> None:
        """Nothing written yet."""
        self._base = base
        self._writes: dict[bytes, bytes | None] = {}
        self._log: list[tuple[bytes, bytes | _Unwritten | None]] = []

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, as last written."""
        written = self._writes.get(key, _UNWRITTEN)
        return self._base.get(key) if isinstance(written, _Unwritten) else written

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write `value`, or remove the key if it is None."""
        assert len(key) <= STORAGE_KEY_BYTES_MAX
        self._log.append((key, self._writes.get(key, _UNWRITTEN)))
        self._writes[key] = value

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """As in StateView, with the writes so far merged in; later writes do not show."""
        written = {key: value for key, value in self._writes.items() if key.startswith(prefix)}
        below = ((key, value) for key, value in self._base.iterate(prefix) if key not in written)
        above = [(key, value) for key, value in sorted(written.items()) if value is not None]
        return _merge(below, above)

    def begin(self) -> int:
        """Open a transaction; hand the result to `rollback`, or drop it to commit."""
        return len(self._log)

    def rollback(self, position: int) -> None:
        """Undo every write since the transaction that `begin` opened at `position`."""
        while len(self._log) > position:
            key, old = self._log.pop()
            if isinstance(old, _Unwritten):
                del self._writes[key]
            else:
                self._writes[key] = old

    def changes(self) -> Changes:
        """What was written, without what was rolled back."""
        return tuple(sorted(self._writes.items()))


def _merge(
    below: Iterator[tuple[bytes, bytes]], above: list[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes]]:
    """Two ascending runs without a common key as one."""
    position = 0
    for entry in below:
        while position < len(above) and above[position][0] < entry[0]:
            yield above[position]
            position += 1
        yield entry
    yield from above[position:]
