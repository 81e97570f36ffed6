"""libsodium's verdicts on edge cases of Ed25519, which are part of the rules of the chain.

Other libraries accept what libsodium refuses, or the reverse: small-order keys, scalars that are not reduced,
points that are not canonical, signatures that only a cofactored equation accepts. A node whose library
disagrees would split from the others on a crafted transaction, so every node checks itself at start.

Source: the speccheck vectors of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko 2020).
"""

from dataclasses import dataclass
from typing import Final

from primitives.certificate import Verifier


@dataclass(frozen=True, slots=True)
class EdgeCase:
    """One crafted signature and whether the chain takes it for valid."""

    what: str
    message: bytes
    public_key: bytes
    signature: bytes
    valid: bool


def _case(what: str, valid: bool, message: str, public_key: str, r: str, s: str) -> EdgeCase:
    return EdgeCase(
        what,
        bytes.fromhex(message),
        bytes.fromhex(public_key),
        bytes.fromhex(r + s),
        valid,
    )


_SMALL = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
_SMALL_SIGNED = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"
_POINT = "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43"
_MIXED = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d"
_LARGE = "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623"
_TWISTED = "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"

EDGE_CASES: Final = (
    _case(
        "key and R of small order, S zero",
        False,
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        _SMALL_SIGNED,
        _SMALL,
        "00" * 32,
    ),
    _case(
        "key of small order, R of mixed order",
        False,
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        _SMALL_SIGNED,
        _POINT,
        "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ),
    _case(
        "R of small order",
        False,
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        _POINT,
        _SMALL_SIGNED,
        "8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
    ),
    _case(
        "key and R of mixed order, both equations hold",
        True,
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        _MIXED,
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f",
        "87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
    ),
    _case(
        "only the cofactored equation holds",
        False,
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        _MIXED,
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512",
        "5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
    ),
    _case(
        "only the cofactored equation holds, and only if it is not reduced first",
        False,
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        _MIXED,
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7",
        "e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
    ),
    _case(
        "S above the group order",
        False,
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        _LARGE,
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e",
        "547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
    ),
    _case(
        "S far above the group order",
        False,
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        _LARGE,
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa1942",
        "7e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
    ),
    _case(
        "R not canonical and of small order, hashed as sent",
        False,
        "fdaebc429f4a735932a160da1301080c13280eea8bc280d1b392c6b9e6ba3a5a",
        _POINT,
        _TWISTED,
        "454d370c8d9fc323a41450f8d513eafeb5b0697390c1e505a0d4ddc71f566607",
    ),
    _case(
        "R not canonical and of small order, hashed after reduction",
        False,
        "84b698d39be126ff55fe45079e6c8bf64a0d7db6994560b4e96b7021eb39c1a1",
        _POINT,
        _TWISTED,
        "084d5b99c2a9463d9c8bd5026916996984eeec87ddf1d3be329006ace1b37b09",
    ),
)


def disagreements(verifier: Verifier) -> tuple[str, ...]:
    """The edge cases that `verifier` judges unlike the chain; a node with any must not start."""
    return tuple(
        case.what
        for case in EDGE_CASES
        if verifier(case.public_key, case.message, case.signature) != case.valid
    )
