"""Verify a state proof with nothing but Python: this file shares no code with the node that made the proof.

    python examples/verify_state_proof.py ROOT KEY VALUE PROOF

All four in hexadecimal; VALUE is `absent` to verify that the key has no value. ROOT is the `state_root` of a
header that you have reason to believe. Prints `valid` and exits with 0, or says why not and exits with 1.
"""

import sys
from hashlib import blake2b, blake2s
from typing import Any

EMPTY = bytes(32)


class Wrong(Exception):
    """The proof does not prove what it is said to prove."""


def ensure(condition: object, reason: str) -> None:
    if not condition:
        raise Wrong(reason)


def unpack(data: bytes, at: int = 0) -> tuple[Any, int]:
    """One MessagePack value of the few kinds that a proof is made of, and where it ends."""
    ensure(at < len(data), "the proof ends too early")
    tag = data[at]
    if tag < 0x80:  # small integer
        return tag, at + 1
    if tag in (0xCC, 0xCD):  # integer of one or two bytes
        end = at + 2 + (tag == 0xCD)
        return int.from_bytes(data[at + 1 : end], "big"), end
    if tag == 0xC0:
        return None, at + 1
    if tag == 0xC4:  # byte string
        ensure(at + 1 < len(data), "the proof ends too early")
        end = at + 2 + data[at + 1]
        ensure(end <= len(data), "the proof ends too early")
        return data[at + 2 : end], end
    ensure(0x90 <= tag < 0xA0 or tag == 0xDC, "the proof holds something unexpected")
    count, at = (tag & 15, at + 1) if tag < 0xA0 else (int.from_bytes(data[at + 1 : at + 3], "big"), at + 3)
    items = []
    for _ in range(count):
        item, at = unpack(data, at)
        items.append(item)
    return items, at


def bit(data: bytes, index: int) -> int:
    return data[index // 8] >> (7 - index % 8) & 1


def verify(root: bytes, key: bytes, value: bytes | None, encoded: bytes) -> None:
    """Raises Wrong unless `key` has `value`, or none if that is None, under `root`."""
    proof, end = unpack(encoded)
    ensure(end == len(encoded) and isinstance(proof, list) and len(proof) == 4, "this is no proof")
    depth, bitmap, siblings, other = proof
    path = blake2b(key, digest_size=32).digest()
    ensure(depth <= 256 and len(bitmap) == (depth + 7) // 8, "the bitmap has the wrong length")
    ensure(not any(bit(bitmap, index) for index in range(depth, 8 * len(bitmap))), "the bitmap is too long")
    ensure(all(len(sibling) == 32 and sibling != EMPTY for sibling in siblings), "a sibling is malformed")
    node = EMPTY
    if value is not None:
        ensure(other is None, "a proof of a value names no other entry")
        node = blake2s(b"\x00" + path + blake2s(value).digest()).digest()
    elif other is not None:
        other_path, other_value_hash = other
        ensure(len(other_path) == len(other_value_hash) == 32, "the other entry is malformed")
        ensure(other_path != path, "the other entry is that of the key itself")
        shares = all(bit(other_path, index) == bit(path, index) for index in range(depth))
        ensure(shares, "the other entry is elsewhere")
        node = blake2s(b"\x00" + other_path + other_value_hash).digest()
    for index in reversed(range(depth)):
        ensure(siblings or not bit(bitmap, index), "a sibling is missing")
        sibling = siblings.pop() if bit(bitmap, index) else EMPTY
        node = blake2s(sibling + node if bit(path, index) else node + sibling).digest()
    ensure(not siblings, "there are siblings left over")
    ensure(node == root, "the proof leads to another root")


def main(arguments: list[str]) -> int:
    if len(arguments) != 4:
        print(__doc__)
        return 2
    try:
        is_absent = arguments[2] == "absent"
        texts = ["" if text == "absent" else text.removeprefix("0x") for text in arguments]
        root, key, value, proof = map(bytes.fromhex, texts)
        verify(root, key, None if is_absent else value, proof)
    except (Wrong, ValueError, TypeError) as error:
        print(f"not valid: {error}")
        return 1
    print("valid")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
