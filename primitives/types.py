"""Distinct names for the numbers and byte strings that travel through the whole program.

Each type carries its bounds: a value outside them dies in the codec, on the way in and on the way out.
"""

from typing import Annotated, Final, NewType

import msgspec

U63_MAX: Final = 2**63 - 1
"""Largest integer on the wire: fits a signed 64-bit column, and a sum of two fits an unsigned one."""

PARTS_PER_BILLION: Final = 1_000_000_000
"""Denominator of every on-chain fraction: multiply first, `//` last."""

STORAGE_KEY_BYTES_MAX: Final = 480
"""Longest storage key; LMDB takes keys up to 511 bytes."""

U8 = Annotated[int, msgspec.Meta(ge=0, le=2**8 - 1)]
U16 = Annotated[int, msgspec.Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
U63 = Annotated[int, msgspec.Meta(ge=0, le=U63_MAX)]
Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Bytes64 = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]

Hash = NewType("Hash", Bytes32)
"""A BLAKE2b-256 digest, or a BLAKE2s-256 digest where the state tree is meant."""

BlockHash = NewType("BlockHash", Bytes32)
"""Identity of a block: the domain-separated hash of its header."""

ExtrinsicHash = NewType("ExtrinsicHash", Bytes32)
"""Identity of an extrinsic: the hash of its canonical bytes, signature included."""

AccountId = NewType("AccountId", Bytes32)
"""An account: an Ed25519 public key, or a name that a pallet owns and nobody can sign for."""

PublicKey = NewType("PublicKey", Bytes32)
"""An Ed25519 public key that is no account: the session key of an authority."""

Seed = NewType("Seed", Bytes32)
"""An Ed25519 secret seed. Never logged, never on the wire."""

Signature = NewType("Signature", Bytes64)
"""An Ed25519 signature."""

Balance = NewType("Balance", U63)
"""An amount of the smallest unit; a token has 10^9 of them."""

Nonce = NewType("Nonce", U63)
"""How many extrinsics an account has sent, counted from its birth height << 16."""

BlockNumber = NewType("BlockNumber", U63)
"""Height of a block; the genesis block is 0."""

EpochIndex = NewType("EpochIndex", U63)
"""Index of an epoch; epoch 0 is the genesis block alone."""

View = NewType("View", U63)
"""One attempt at a block within an epoch, counted from 1; 0 stands for the last block of the epoch before."""

Stake = NewType("Stake", U63)
"""Voting weight of an authority."""

TimestampMs = NewType("TimestampMs", U63)
"""Milliseconds since the Unix epoch."""

SpecVersion = NewType("SpecVersion", U32)
"""Version of the on-chain rules."""

AuthorityIndex = NewType("AuthorityIndex", U16)
"""Position of an authority in its committee."""
