"""Storage items: typed windows on the state.

A key is `H(pallet)[:8] || H(item)[:8] || canonical array of the map keys`, so that no two items share an
entry and one item's entries share a prefix. An item with a default does not store it: a state has one form.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, Self, TypeVar

import msgspec

from frame.state import Overlay
from primitives.codec import Codec
from primitives.hashing import blake2b_256

A = TypeVar("A")
B = TypeVar("B")
K = TypeVar("K")
V = TypeVar("V")

_NAME_HASH_BYTES: Final = 8
_PREFIX_BYTES: Final = 2 * _NAME_HASH_BYTES


def array_codec(types: Sequence[Any]) -> Codec[Any]:
    """Of the canonical array of one value of each type."""
    array: Any = tuple.__class_getitem__(tuple(types))
    return Codec(array)


def item_prefix(pallet: str, item: str) -> bytes:
    """The 16 bytes that every key of the item starts with."""
    return b"".join(blake2b_256(name.encode("ascii"))[:_NAME_HASH_BYTES] for name in (pallet, item))


class StorageItem(ABC, Generic[K, V]):
    """What all items have in common. Declared on a pallet's class; each pallet object has it bound."""

    name: str
    prefix: bytes

    def __init__(self, key_types: tuple[Any, ...], value_type: Any, default: V | None) -> None:
        self.key_types = key_types
        self.value_type = value_type
        self.default = default
        self._value: Codec[V] = Codec(value_type)
        self._decode: Callable[[bytes], V] = msgspec.msgpack.Decoder(value_type).decode
        self._key: Codec[Any] = array_codec(key_types)
        self._overlay: Overlay
        self._keys: dict[K, bytes]

    def declare(self, pallet: str, name: str) -> None:
        """Give the item its place in the state."""
        self.name = name
        self.prefix = item_prefix(pallet, name)

    def bind(self, overlay: Overlay) -> Self:
        """The same item over one state."""
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._overlay = overlay
        bound._keys = {}
        return bound

    def key_of(self, key: K) -> bytes:
        """The storage key of the entry under `key`. Raises CodecError outside the key's type."""
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = self.prefix + self._encode_key(key)
        return known

    @abstractmethod
    def _encode_key(self, key: K) -> bytes:
        """The canonical array of the map keys."""

    def _find(self, key: K) -> V | None:
        data = self._overlay.get(self.key_of(key))
        return None if data is None else self._decode(data)

    def _get(self, key: K) -> V:
        data = self._overlay.get(self.key_of(key))
        if data is not None:
            return self._decode(data)
        assert self.default is not None, f"{self.name} has no default: use find"
        return self.default

    def _put(self, key: K, value: V) -> None:
        data = self._value.encode(value)
        self._overlay.put(self.key_of(key), None if value == self.default else data)

    def _remove(self, key: K) -> None:
        if self._overlay.get(self.key_of(key)) is not None:
            self._overlay.put(self.key_of(key), None)

    def _scan(self, prefix: bytes) -> Iterator[tuple[Any, V]]:
        """(array of keys, value) of every entry under `prefix`."""
        for key, data in self._overlay.iterate(prefix):
            yield self._key.decode(key[_PREFIX_BYTES:]), self._decode(data)


class StorageValue(StorageItem[None, V]):
    """One value: `StorageValue[Balance](Balance, default=ZERO)`."""

    def __init__(self, value_type: Any, *, default: V | None = None) -> None:
        """`default` stands for the absent entry."""
        super().__init__((), value_type, default)

    def _encode_key(self, key: None) -> bytes:
        return b"\x90"

    def find(self) -> V | None:
        """The stored value, or None."""
        return self._find(None)

    def get(self) -> V:
        """The stored value or the default; there must be one of them."""
        return self._get(None)

    def put(self, value: V) -> None:
        """Store `value`. Raises CodecError outside the value's type."""
        self._put(None, value)

    def remove(self) -> None:
        """Forget the value."""
        self._remove(None)


class StorageMap(StorageItem[K, V]):
    """Values under keys: `StorageMap[AccountId, Balance](AccountId, Balance, default=ZERO)`."""

    def __init__(self, key_type: Any, value_type: Any, *, default: V | None = None) -> None:
        """`default` stands for every absent entry."""
        super().__init__((key_type,), value_type, default)

    def _encode_key(self, key: K) -> bytes:
        return self._key.encode((key,))

    def find(self, key: K) -> V | None:
        """The stored value, or None."""
        return self._find(key)

    def get(self, key: K) -> V:
        """The stored value or the default; there must be one of them."""
        return self._get(key)

    def put(self, key: K, value: V) -> None:
        """Store `value`. Raises CodecError outside the key's or value's type."""
        self._put(key, value)

    def remove(self, key: K) -> None:
        """Forget the entry, if there is one."""
        self._remove(key)

    def items(self) -> Iterator[tuple[K, V]]:
        """Every stored entry as it is now, ascending by encoded key."""
        for (key,), value in self._scan(self.prefix):
            yield key, value


class StorageDoubleMap(StorageItem[tuple[A, B], V], Generic[A, B, V]):
    """Values under pairs of keys; the entries under one first key can be walked."""

    def __init__(
        self, first_type: Any, second_type: Any, value_type: Any, *, default: V | None = None
    ) -> None:
        """`default` stands for every absent entry."""
        super().__init__((first_type, second_type), value_type, default)
        self._first: Codec[tuple[A]] = Codec(tuple[first_type])

    def _encode_key(self, key: tuple[A, B]) -> bytes:
        return self._key.encode(key)

    def find(self, first: A, second: B) -> V | None:
        """The stored value, or None."""
        return self._find((first, second))

    def get(self, first: A, second: B) -> V:
        """The stored value or the default; there must be one of them."""
        return self._get((first, second))

    def put(self, first: A, second: B, value: V) -> None:
        """Store `value`. Raises CodecError outside the keys' or value's type."""
        self._put((first, second), value)

    def remove(self, first: A, second: B) -> None:
        """Forget the entry, if there is one."""
        self._remove((first, second))

    def items(self) -> Iterator[tuple[tuple[A, B], V]]:
        """Every stored entry as it is now, ascending by encoded keys."""
        return self._scan(self.prefix)

    def under(self, first: A) -> Iterator[tuple[B, V]]:
        """Every stored (second key, value) under `first`, ascending by encoded key."""
        array_of_two = b"\x92" + self._first.encode((first,))[1:]
        for (_, second), value in self._scan(self.prefix + array_of_two):
            yield second, value
